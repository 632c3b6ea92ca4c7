-- A key that is checked late: for a while two rows share it.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE SCHEMA app;
CREATE TABLE app.doc (id int, body text, PRIMARY KEY (id) DEFERRABLE);
CREATE TABLE app.part (LIKE app.doc, PRIMARY KEY (id) DEFERRABLE) PARTITION BY RANGE (id);
CREATE TABLE app.part_1 PARTITION OF app.part DEFAULT;
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
SELECT ai.create_vectorizer('app.doc', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());
SELECT ai.create_vectorizer('app.part', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());
CREATE FUNCTION pg_temp.exercise(statements text[]) RETURNS TABLE (queued text, embedded text, queued_of_parts text, embedded_of_parts text) LANGUAGE plpgsql AS $$
DECLARE
    statement text;
BEGIN
    SET CONSTRAINTS ALL IMMEDIATE;
    DELETE FROM app.doc; DELETE FROM app.part;
    INSERT INTO app.doc VALUES (1, 'old'), (2, 'old'); INSERT INTO app.part VALUES (1, 'old'), (2, 'old');
    PERFORM ai._take_in(101), ai._take_in(102);
    DELETE FROM ai._vectorizer_q_101; DELETE FROM ai._vectorizer_q_102;
    INSERT INTO app.doc_embedding_store SELECT gen_random_uuid(), id, 0, 'text', '[1,0]' FROM app.doc;
    INSERT INTO app.part_embedding_store SELECT gen_random_uuid(), id, 0, 'text', '[1,0]' FROM app.part;
    SET CONSTRAINTS ALL DEFERRED;
    FOREACH statement IN ARRAY statements LOOP
        EXECUTE format(statement, 'app.doc');
        EXECUTE format(statement, 'app.part');
    END LOOP;
    SET CONSTRAINTS ALL IMMEDIATE;
    PERFORM ai._take_in(101), ai._take_in(102);
    RETURN QUERY SELECT (SELECT string_agg(id::text, ', ' ORDER BY id) FROM ai._vectorizer_q_101),
                        (SELECT string_agg(id::text, ', ' ORDER BY id) FROM app.doc_embedding_store),
                        (SELECT string_agg(id::text, ', ' ORDER BY id) FROM ai._vectorizer_q_102),
                        (SELECT string_agg(id::text, ', ' ORDER BY id) FROM app.part_embedding_store);
END
$$;
-- The new one comes, then the old one goes, in two ways: the document is there, and it is work.
SELECT * FROM pg_temp.exercise(ARRAY[$$INSERT INTO %s VALUES (1, 'new')$$, $$DELETE FROM %s WHERE id = 1 AND body = 'old'$$]);
SELECT * FROM pg_temp.exercise(ARRAY[$$INSERT INTO %s VALUES (1, 'new')$$, $$UPDATE %s SET id = 3 WHERE id = 1 AND body = 'old'$$]);
-- Both go; the new one goes.
SELECT * FROM pg_temp.exercise(ARRAY[$$INSERT INTO %s VALUES (1, 'new')$$, $$DELETE FROM %s WHERE id = 1$$]);
SELECT * FROM pg_temp.exercise(ARRAY[$$INSERT INTO %s VALUES (1, 'new')$$, $$DELETE FROM %s WHERE body = 'new'$$]);
-- Keys change places, in one statement and in two.
SELECT * FROM pg_temp.exercise(ARRAY[$$UPDATE %s SET id = 3 - id$$]);
SELECT * FROM pg_temp.exercise(ARRAY[$$UPDATE %s SET id = 2, body = 'was 1' WHERE id = 1$$, $$UPDATE %s SET id = 1 WHERE id = 2 AND body = 'old'$$]);
-- Made deferrable, and no longer.
ALTER TABLE app.doc DROP CONSTRAINT doc_pkey, ADD PRIMARY KEY (id);
SELECT prosrc LIKE '%FROM app.doc s%' AS looks_again FROM pg_proc WHERE proname = '_vectorizer_src_trg_101';
ALTER TABLE app.doc DROP CONSTRAINT doc_pkey, ADD PRIMARY KEY (id) DEFERRABLE;
SELECT prosrc LIKE '%FROM app.doc s%' AS looks_again FROM pg_proc WHERE proname = '_vectorizer_src_trg_101';
ROLLBACK;
