-- What is dropped takes what belongs to it along, and nothing else.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE ROLE regress_ann;
CREATE ROLE regress_bob;
GRANT USAGE ON FOREIGN SERVER ai_openai TO regress_ann, regress_bob;
CREATE SCHEMA app;
CREATE SCHEMA queues;
GRANT ALL ON SCHEMA app, queues TO regress_ann, regress_bob;
CREATE FUNCTION pg_temp.make() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setval('ai.vectorizer_id_seq', 100);
    CREATE TABLE app.doc (tenant int, id int, body text, title text, note text, PRIMARY KEY (tenant, id));
    INSERT INTO app.doc VALUES (1, 1, 'one', 'One');
    ALTER TABLE app.doc OWNER TO regress_ann;
    SET LOCAL ROLE regress_ann;
    PERFORM ai.create_vectorizer('app.doc', name => 'chunks', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2),
        scheduling => ai.scheduling_none(), formatting => ai.formatting_python_template('$title: $chunk'));
    PERFORM ai.create_vectorizer('app.doc', name => 'vectors', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2),
        scheduling => ai.scheduling_none(), destination => ai.destination_column('vec'), chunking => ai.chunking_none(), queue_schema => 'queues');
    RESET ROLE;
END
$$;
-- What there is of the two.
CREATE FUNCTION pg_temp.remains() RETURNS TABLE (relations text, functions text, triggers text, vectorizers text, notes int8) LANGUAGE sql AS $$
    SELECT (SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid::regclass::text COLLATE "C") FROM pg_class c
            WHERE relkind IN ('r', 'v') AND (relnamespace = ANY (ARRAY[to_regnamespace('app'), to_regnamespace('queues')]::oid[]) OR relname LIKE '\_vectorizer\_q\_%' OR relname LIKE '\_vectorizer\_intake\_%')),
           (SELECT string_agg(proname, ', ' ORDER BY proname) FROM pg_proc WHERE proname LIKE '\_vectorizer\_src\_trg%'),
           (SELECT string_agg(tgname, ', ' ORDER BY tgname) FROM pg_trigger WHERE tgname LIKE '\_vectorizer\_src\_trg%'),
           (SELECT string_agg(id || ' ' || name, ', ' ORDER BY id) FROM ai.vectorizer),
           (SELECT count(*) FROM ai._vectorizer_errors)
$$;
\x on
SAVEPOINT empty;
SELECT pg_temp.make();
INSERT INTO ai._vectorizer_errors (id, message, step, failure_class) VALUES (101, 'm', 'loading', 'unknown');
SELECT * FROM pg_temp.remains();
SAVEPOINT made;

-- The source: the view is in the way, as of any table with a view. CASCADE takes all but the embeddings.
SELECT pg_temp.error_of('DROP TABLE app.doc');
SELECT vectorizers FROM pg_temp.remains();
DROP TABLE app.doc CASCADE;
SELECT * FROM pg_temp.remains();
ROLLBACK TO made;
-- Without the view nothing is in the way, and the owner may.
DROP VIEW app.doc_embedding;
SELECT vectorizers FROM pg_temp.remains();
SELECT view, target_table FROM ai.vectorizer_status WHERE id = 101;
SELECT config -> 'destination' FROM ai.vectorizer WHERE id = 101;
UPDATE app.doc SET body = 'two';
SET ROLE regress_ann;
DROP TABLE app.doc;
RESET ROLE;
SELECT * FROM pg_temp.remains();
ROLLBACK TO made;

-- The target: that vectorizer goes, the other stays and works.
SELECT pg_temp.error_of('DROP TABLE app.doc_embedding_store');
DROP TABLE app.doc_embedding_store CASCADE;
SELECT * FROM pg_temp.remains();
SELECT ai._take_in(102);
DELETE FROM queues._vectorizer_q_102;
UPDATE app.doc SET body = 'two';
SELECT ai._take_in(102);
SELECT tenant, id FROM queues._vectorizer_q_102;
ROLLBACK TO made;
-- A queue.
DROP TABLE queues._vectorizer_q_102;
SELECT * FROM pg_temp.remains();
DROP TABLE ai._vectorizer_q_failed_101;
SELECT * FROM pg_temp.remains();
UPDATE app.doc SET body = 'two';
ROLLBACK TO made;
-- The trigger function.
SELECT pg_temp.error_of('DROP FUNCTION ai._vectorizer_src_trg_101()');
DROP FUNCTION ai._vectorizer_src_trg_101() CASCADE;
SELECT * FROM pg_temp.remains();
UPDATE app.doc SET body = 'two';
SELECT ai.drop_vectorizer('chunks', true);
ROLLBACK TO made;
-- A trigger.
DROP TRIGGER _vectorizer_src_trg_101_delete ON app.doc;
UPDATE app.doc SET body = 'two';
SELECT ai.drop_vectorizer('chunks', true);
SELECT * FROM pg_temp.remains();
ROLLBACK TO made;

-- A column of the key, with the constraint; the document; one of the template; any other.
DROP VIEW app.doc_embedding;
SAVEPOINT no_view;
ALTER TABLE app.doc DROP tenant;
UPDATE app.doc SET body = 'two';
INSERT INTO app.doc (id) VALUES (2);
DELETE FROM app.doc;
TRUNCATE app.doc;
SELECT vectorizers FROM pg_temp.remains();
SELECT ai.drop_vectorizer('chunks', true), ai.drop_vectorizer('vectors', true);
SELECT * FROM pg_temp.remains();
ROLLBACK TO no_view;
ALTER TABLE app.doc DROP body;
UPDATE app.doc SET title = 'two';
ROLLBACK TO no_view;
ALTER TABLE app.doc DROP title;
UPDATE app.doc SET body = 'two';
ROLLBACK TO no_view;
ALTER TABLE app.doc DROP vec;
UPDATE app.doc SET body = 'two';
ROLLBACK TO no_view;
ALTER TABLE app.doc DROP note;
UPDATE app.doc SET body = 'two';
-- The primary key alone: the columns are still there, and so are the vectorizers.
ALTER TABLE app.doc DROP CONSTRAINT doc_pkey;
UPDATE app.doc SET body = 'three';
DELETE FROM app.doc;
SELECT count(*) FROM ai._vectorizer_q_101;
ROLLBACK TO made;

-- Roles: their tables with all that belongs to them, or to another's hands.
REASSIGN OWNED BY regress_ann TO regress_bob;
SELECT c.oid::regclass, relowner::regrole FROM pg_class c
WHERE relkind IN ('r', 'v') AND (relnamespace IN ('app'::regnamespace, 'queues'::regnamespace) OR relname LIKE '\_vectorizer\_q\_%' OR relname LIKE '\_vectorizer\_intake\_%') ORDER BY 1;
SELECT proname, proowner::regrole FROM pg_proc WHERE proname LIKE '\_vectorizer\_src\_trg%' ORDER BY 1;
SET ROLE regress_bob;
UPDATE app.doc SET body = 'bob';
SELECT ai.drop_vectorizer('chunks', true);
RESET ROLE;
DROP OWNED BY regress_bob;
SELECT * FROM pg_temp.remains();
ROLLBACK TO made;
-- Only the source to other hands: what belongs to it goes along.
ALTER TABLE app.doc OWNER TO regress_bob;
SELECT c.oid::regclass, relowner::regrole FROM pg_class c
WHERE relkind IN ('r', 'v') AND (relnamespace IN ('app'::regnamespace, 'queues'::regnamespace) OR relname LIKE '\_vectorizer\_q\_%' OR relname LIKE '\_vectorizer\_intake\_%') ORDER BY 1;
SET ROLE regress_bob;
UPDATE app.doc SET body = 'bob';
RESET ROLE;
ROLLBACK TO made;
DROP OWNED BY regress_ann CASCADE;
SELECT * FROM pg_temp.remains();
ROLLBACK TO made;

-- Schemas: of the queue, of the source.
SELECT pg_temp.error_of('DROP SCHEMA queues');
DROP SCHEMA queues CASCADE;
SELECT * FROM pg_temp.remains();
UPDATE app.doc SET body = 'two';
DROP SCHEMA app CASCADE;
SELECT * FROM pg_temp.remains();
ROLLBACK TO made;
DROP SCHEMA app, queues CASCADE;
SELECT * FROM pg_temp.remains();
ROLLBACK TO empty;
SELECT pg_temp.make();
-- All can be made again, once the embeddings are gone, too.
DROP TABLE app.doc CASCADE;
DROP TABLE app.doc_embedding_store;
SELECT pg_temp.make();
SELECT * FROM pg_temp.remains();
ROLLBACK;
