-- ai.grant_to and the setting ai.grant_to_default; what the roles get of a vectorizer.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
SELECT ai.grant_to();
SELECT ai.grant_to('alice', 'bob', 'alice');
SELECT ai.grant_to(VARIADIC '{}');
SELECT ai.grant_to(VARIADIC ARRAY['', NULL]::name[]);
SET ai.grant_to_default = ' carol,dave, ,alice';
SELECT ai.grant_to();
SELECT ai.grant_to('alice', 'Bob B.');
SET ai.grant_to_default = '';
SELECT ai.grant_to();

BEGIN;
CREATE ROLE regress_reader;
CREATE ROLE "regress Reader, too";
CREATE ROLE regress_by_setting;
CREATE ROLE regress_nobody;
CREATE SCHEMA one;
CREATE SCHEMA two;
CREATE SCHEMA three;
CREATE TABLE one.doc (id int PRIMARY KEY, body text);
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
SET LOCAL ai.grant_to_default = 'regress_by_setting';
SELECT ai.create_vectorizer('one.doc', destination => ai.destination_table('emb', target_schema => 'two'),
    loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 3),
    scheduling => ai.scheduling_none(), queue_schema => 'three',
    grant_to => ai.grant_to('regress_reader', 'regress Reader, too', 'regress_unknown', 'regress_absent'));
CREATE FUNCTION pg_temp.granted() RETURNS TABLE (role name, object text, granted text) LANGUAGE sql AS $$
    SELECT rolname, object,
           coalesce((SELECT string_agg(privilege, ', ' ORDER BY number)
                     FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) WITH ORDINALITY AS p (privilege, number)
                     WHERE has_table_privilege(rolname, object, privilege)), '-')
    FROM pg_roles, unnest('{one.doc,one.emb,two.emb_store,three._vectorizer_q_101,three._vectorizer_q_failed_101}'::text[]) WITH ORDINALITY AS o (object, number)
    WHERE rolname LIKE 'regress%' ORDER BY rolname COLLATE "C", number
$$;
SELECT * FROM pg_temp.granted();
SELECT rolname, nspname, has_schema_privilege(rolname, nspname, 'USAGE') AS usage, has_schema_privilege(rolname, nspname, 'CREATE') AS "create"
FROM pg_roles, pg_namespace
WHERE rolname IN ('regress_reader', 'regress_by_setting', 'regress_nobody') AND nspname IN ('one', 'two', 'three', 'ai')
ORDER BY rolname, nspname;
SELECT has_function_privilege('regress_reader', 'three._vectorizer_src_trg_101()', 'EXECUTE') AS may_call_the_trigger_function;
-- With the grants, the destination and the queue can be read.
SET LOCAL ROLE regress_reader;
SELECT count(*) FROM one.emb;
SELECT pending_items FROM ai.vectorizer_status WHERE id = 101;
RESET ROLE;
SET LOCAL ROLE regress_nobody;
SELECT pending_items FROM ai.vectorizer_status WHERE id = 101;
RESET ROLE;
ROLLBACK;

BEGIN;
CREATE ROLE regress_nobody;
CREATE TABLE doc (id int PRIMARY KEY, body text);
-- public is no role, and is granted to all the same; a list in which nobody exists grants nothing.
SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 3),
    scheduling => ai.scheduling_none(), grant_to => ai.grant_to('public')) > 0 AS made;
SELECT has_table_privilege('regress_nobody', 'doc_embedding', 'SELECT');
SELECT ai.create_vectorizer('doc', destination => ai.destination_table('b'), loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 3), scheduling => ai.scheduling_none(), grant_to => ARRAY['regress_absent']::name[]) > 0 AS made;
SELECT has_table_privilege('regress_nobody', 'b', 'SELECT');
SELECT ai.create_vectorizer('doc', destination => ai.destination_table('c'), loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 3), scheduling => ai.scheduling_none(), grant_to => NULL) > 0 AS made;
SELECT has_table_privilege('regress_nobody', 'c', 'SELECT');
ROLLBACK;
