-- The extension is dropped, made again, and made where somebody was before.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE ROLE regress_mallory;
CREATE SCHEMA app;
CREATE TABLE app.doc (id int PRIMARY KEY, body text);
INSERT INTO app.doc VALUES (1, 'one');
CREATE TABLE app.parts (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
CREATE TABLE app.part PARTITION OF app.parts DEFAULT;
CREATE FUNCTION pg_temp.make() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setval('ai.vectorizer_id_seq', 100);
    PERFORM ai.create_vectorizer('app.doc', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());
    PERFORM ai.create_vectorizer('app.doc', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none(),
        destination => ai.destination_column('vec'), chunking => ai.chunking_none(), queue_schema => 'app');
    PERFORM ai.create_vectorizer('app.parts', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none(),
        queue_schema => 'app');
END
$$;
CREATE FUNCTION pg_temp.remains() RETURNS TABLE (tables text, functions text, triggers text, "in ai" int8) LANGUAGE sql AS $$
    SELECT (SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid::regclass::text COLLATE "C") FROM pg_class c
            WHERE relkind IN ('r', 'v', 'p') AND relnamespace IN ('app'::regnamespace, to_regnamespace('ai'))),
           (SELECT string_agg(proname, ', ' ORDER BY proname) FROM pg_proc WHERE proname LIKE '\_vectorizer\_src\_trg%'),
           (SELECT string_agg(tgname, ', ' ORDER BY tgname) FROM pg_trigger WHERE tgname LIKE '\_vectorizer\_src\_trg%'),
           (SELECT count(*) FROM pg_depend WHERE refclassid = 'pg_namespace'::regclass AND refobjid = to_regnamespace('ai') AND classid <> 'pg_extension'::regclass)
$$;
\x on
SELECT pg_temp.make();
SAVEPOINT made;
-- Queues, functions and triggers go with the extension. What was embedded stays, and the tables can be written to.
DROP EXTENSION ai;
SELECT * FROM pg_temp.remains();
INSERT INTO app.doc VALUES (2, 'two');
UPDATE app.doc SET body = 'three';
DELETE FROM app.doc WHERE id = 1;
TRUNCATE app.doc;
INSERT INTO app.parts VALUES (1, 'one');
SELECT * FROM app.doc_embedding;
-- Again: another library, so to say; the old destination is in the way of the same name, and that is said.
CREATE EXTENSION ai;
SELECT pg_temp.error_of($$SELECT ai.create_vectorizer('app.doc', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2))$$);
DROP VIEW app.doc_embedding, app.parts_embedding;
DROP TABLE app.doc_embedding_store, app.parts_embedding_store;
SELECT pg_temp.make();
INSERT INTO app.doc VALUES (3, 'three');
SELECT ai._take_in(101);
SELECT id FROM ai._vectorizer_q_101;
ROLLBACK TO made;
-- With what depends on it.
CREATE VIEW app.mine AS SELECT name FROM ai.vectorizer;
CREATE VIEW app.waiting AS SELECT id FROM ai._vectorizer_q_101;
SELECT pg_temp.error_of('DROP EXTENSION ai');
DROP EXTENSION ai CASCADE;
SELECT * FROM pg_temp.remains();
UPDATE app.doc SET body = 'two';
ROLLBACK TO made;
-- With pgvector.
SELECT pg_temp.error_of('DROP EXTENSION vector');
DROP EXTENSION vector CASCADE;
SELECT * FROM pg_temp.remains();
UPDATE app.doc SET body = 'two';
ROLLBACK TO made;
-- With its schema.
DROP SCHEMA ai CASCADE;
SELECT * FROM pg_temp.remains();
UPDATE app.doc SET body = 'two';
CREATE EXTENSION ai;

-- A schema that was there before, and that is another's, or in which others may create, is refused.
DROP EXTENSION ai;
DROP SCHEMA ai;
CREATE FUNCTION pg_temp.planted(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    CREATE EXTENSION ai;
    RETURN 'installed';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' | ' || SQLERRM;
END
$$;
SELECT pg_temp.planted('CREATE SCHEMA ai AUTHORIZATION regress_mallory');
SELECT pg_temp.planted('CREATE SCHEMA ai; GRANT CREATE ON SCHEMA ai TO PUBLIC');
SELECT pg_temp.planted('CREATE SCHEMA ai; GRANT CREATE ON SCHEMA ai TO regress_mallory');
-- With anything in it, so is one that is a superuser's.
CREATE SCHEMA ai;
SELECT pg_temp.planted('CREATE TABLE ai.mine ()');
SELECT pg_temp.planted('CREATE FUNCTION ai.vectorizer_queue_pending(oid) RETURNS int8 LANGUAGE sql AS ''SELECT 1''');
SELECT pg_temp.planted('CREATE OPERATOR ai.= (FUNCTION = oideq, LEFTARG = oid, RIGHTARG = oid)');
SELECT pg_temp.planted('CREATE TYPE ai.kind AS ENUM ()');
SELECT pg_temp.planted('CREATE EXTENSION IF NOT EXISTS plpgsql');
SELECT has_schema_privilege('regress_mallory', 'ai', 'USAGE') AS usage, has_schema_privilege('regress_mallory', 'ai', 'CREATE') AS "create";
ROLLBACK;
