-- ai.drop_vectorizer by id and by name, with and without the embeddings, and when parts are gone already.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE SCHEMA app;
CREATE TABLE app.doc (id int PRIMARY KEY, body text);
INSERT INTO app.doc VALUES (1, 'one');
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
CREATE FUNCTION pg_temp.make(destination name) RETURNS int LANGUAGE sql AS $$
    SELECT ai.create_vectorizer('app.doc', name => destination::text, destination => ai.destination_table(destination), loading => ai.loading_column('body'),
        embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none(), queue_schema => 'app')
$$;
-- Everything there is of vectorizers.
CREATE FUNCTION pg_temp.remains() RETURNS TABLE (relations text, functions text, triggers text, vectorizers text) LANGUAGE sql AS $$
    SELECT (SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class
            WHERE relnamespace = 'app'::regnamespace AND relkind IN ('r', 'v') AND relname <> 'doc'),
           (SELECT string_agg(proname, ', ' ORDER BY proname) FROM pg_proc WHERE pronamespace = 'app'::regnamespace),
           (SELECT string_agg(tgname, ', ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = to_regclass('app.doc') AND NOT tgisinternal),
           (SELECT string_agg(id || ' ' || name, ', ' ORDER BY id) FROM ai.vectorizer WHERE id > 100)
$$;
\x on
SELECT pg_temp.make('a');
SELECT pg_temp.make('b');
SELECT pg_temp.make('c');
SELECT pg_temp.make('d');
SELECT * FROM pg_temp.remains();
-- By id and by name; table and view stay, unless drop_all.
SELECT ai.drop_vectorizer(101);
SELECT ai.drop_vectorizer('b');
SELECT * FROM pg_temp.remains();
SELECT ai.drop_vectorizer(103, drop_all => true);
SELECT ai.drop_vectorizer('d', true);
SELECT * FROM pg_temp.remains();
-- The source is as it was.
INSERT INTO app.doc VALUES (2, 'two');
UPDATE app.doc SET body = 'three';
TRUNCATE app.doc;
-- The name is free again, the id is not taken twice.
DROP VIEW app.a, app.b;
DROP TABLE app.a_store, app.b_store;
SELECT pg_temp.make('a');
SELECT ai.drop_vectorizer('a', true);
-- What does not exist.
SELECT pg_temp.error_of('SELECT ai.drop_vectorizer(101)');
SELECT pg_temp.error_of('SELECT ai.drop_vectorizer(-1, true)');
SELECT pg_temp.error_of($$SELECT ai.drop_vectorizer('nobody')$$);
SELECT pg_temp.error_of($$SELECT ai.drop_vectorizer('a')$$);
SELECT ai.drop_vectorizer(NULL::int), ai.drop_vectorizer(NULL::text);
-- What somebody built on the view or the table is not dropped with it.
SELECT pg_temp.make('a');
CREATE VIEW app.mine AS SELECT chunk FROM app.a;
SELECT pg_temp.error_of('SELECT ai.drop_vectorizer(106, true)');
DROP VIEW app.mine;
SELECT ai.drop_vectorizer(106, true);
SELECT * FROM pg_temp.remains();

-- Parts that are gone already.
SELECT pg_temp.make('e');
SELECT pg_temp.make('f');
SELECT pg_temp.make('g');
SELECT pg_temp.make('h');
DROP VIEW app.e;
DROP TABLE app.f_store CASCADE;
DROP TABLE app._vectorizer_q_109, app._vectorizer_q_failed_109;
DROP FUNCTION app._vectorizer_src_trg_110 CASCADE;
SELECT id, source_table, target_table, view, pending_items FROM ai.vectorizer_status WHERE id > 100 ORDER BY id;
SELECT vectorizer, state FROM ai.worker_status WHERE vectorizer IN ('e', 'f', 'g', 'h') ORDER BY vectorizer;
SELECT pg_temp.error_of('SELECT ai.vectorizer_queue_pending(109)');
SELECT ai.drop_vectorizer(id, drop_all => true) FROM ai.vectorizer WHERE id > 100;
SELECT * FROM pg_temp.remains();
-- The source itself.
SELECT pg_temp.make('i');
SELECT pg_temp.error_of('DROP TABLE app.doc');
DROP TABLE app.doc CASCADE;
SELECT id, source_schema, source_table, name FROM ai.vectorizer WHERE id > 100;
SELECT id, name, source_table, target_table, view, embedding_column, pending_items, disabled FROM ai.vectorizer_status WHERE id > 100;
SELECT vectorizer, state FROM ai.worker_status WHERE vectorizer = 'i';
SELECT count(*) FROM ai.vectorizer_errors;
SELECT ai.drop_vectorizer('i', drop_all => true);
SELECT * FROM pg_temp.remains();
ROLLBACK;
