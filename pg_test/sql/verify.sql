-- What ai.verify_vectorizer finds in a destination that is not what it should be. There is no provider here: the vectors
-- are written by hand.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE ROLE ai_regress_author;
GRANT USAGE ON FOREIGN SERVER ai_openai TO ai_regress_author;
CREATE ROLE ai_regress_reader;
CREATE SCHEMA app AUTHORIZATION ai_regress_author;
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
SET ROLE ai_regress_author;
-- A key of two columns, of names and types that need care.
CREATE TABLE app.doc (created_at numeric, "Key 2" timestamptz, body text, title text, PRIMARY KEY (created_at, "Key 2"));
SELECT ai.create_vectorizer('app.doc', name => 'docs', loading => ai.loading_column('body'),
    chunking => ai.chunking_character_text_splitter(10, 0, ' ', false),
    formatting => ai.formatting_python_template('$title: $chunk'),
    embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());
INSERT INTO app.doc
SELECT i + 0.10, timestamptz '2026-01-01 12:00:00.123456+00', 'alpha beta gamma delta', 't' || i FROM generate_series(1, 12) i;
-- All wait.
SELECT primary_key ->> 'created_at' AS key, chunk_seq, problem, detail FROM ai.verify_vectorizer('docs') ORDER BY (primary_key ->> 'created_at')::numeric LIMIT 2;
SELECT ai._take_in(101);
DELETE FROM ai._vectorizer_q_101;
-- Nothing is there.
SELECT primary_key ->> 'created_at' AS key, chunk_seq, problem, detail FROM ai.verify_vectorizer('docs') ORDER BY (primary_key ->> 'created_at')::numeric LIMIT 2;
-- All is well.
INSERT INTO app.doc_embedding_store (created_at, "Key 2", chunk_seq, chunk, embedding)
SELECT created_at, "Key 2", n, title || ': ' || (ARRAY['alpha beta', 'gamma', 'delta'])[n + 1], '[1,2]' FROM app.doc, generate_series(0, 2) n;
SELECT * FROM ai.verify_vectorizer('docs');
SELECT * FROM ai.verify_vectorizer(101);
-- Each way to be wrong. (The constraints of the destination would not let some of them in.)
DO $$
DECLARE
    constraint_name text;
BEGIN
    FOR constraint_name IN SELECT conname FROM pg_constraint WHERE conrelid = 'app.doc_embedding_store'::regclass AND contype = 'u' LOOP
        EXECUTE format('ALTER TABLE app.doc_embedding_store DROP CONSTRAINT %I', constraint_name);
    END LOOP;
END
$$;
DROP VIEW app.doc_embedding;
ALTER TABLE app.doc_embedding_store ALTER embedding DROP NOT NULL, ALTER embedding TYPE vector;
DELETE FROM app.doc_embedding_store WHERE created_at = 1.1 AND chunk_seq = 1;
DELETE FROM app.doc_embedding_store WHERE created_at = 2.1;
UPDATE app.doc_embedding_store SET chunk = chunk || '!' WHERE created_at = 3.1 AND chunk_seq = 2;
UPDATE app.doc_embedding_store SET chunk_seq = 2 - chunk_seq WHERE created_at = 4.1;
UPDATE app.doc_embedding_store SET chunk_seq = 0 WHERE created_at = 5.1;
INSERT INTO app.doc_embedding_store (created_at, "Key 2", chunk_seq, chunk, embedding)
SELECT created_at, "Key 2", n, 'more', '[1,2]' FROM app.doc, unnest(ARRAY[3, -1]) n WHERE created_at = 6.1;
UPDATE app.doc_embedding_store SET embedding = NULL WHERE created_at = 7.1 AND chunk_seq = 0;
UPDATE app.doc_embedding_store SET embedding = '[1,2,3]' WHERE created_at = 7.1 AND chunk_seq = 1;
INSERT INTO app.doc_embedding_store (created_at, "Key 2", chunk_seq, chunk, embedding) VALUES (12345678901234567890.10, 'infinity', 0, 'lost', '[1,2]'), (12345678901234567890.10, 'infinity', 1, 'lost', '[1,2]');
UPDATE app.doc SET title = 'new' WHERE created_at = 8.1;
SELECT ai._take_in(101);
DELETE FROM ai._vectorizer_q_101;
UPDATE app.doc SET body = NULL WHERE created_at = 9.1;
SELECT ai._take_in(101);
DELETE FROM ai._vectorizer_q_101;
INSERT INTO ai._vectorizer_q_failed_101 (pk_created_at, "Key 2", failure_step, failure_class, reason) SELECT created_at, "Key 2", 'loading', 'permanent', 'there is no such thing' FROM app.doc WHERE created_at = 10.1;
INSERT INTO ai._vectorizer_q_failed_101 (pk_created_at, "Key 2", failure_step, failure_class, reason) VALUES (77, 'infinity', 'loading', 'permanent', 'gone');
UPDATE app.doc SET title = 't11' || '' , body = body || ' ' WHERE created_at = 11.1;
INSERT INTO ai._vectorizer_q_101 (pk_created_at, "Key 2") VALUES (88, 'infinity');
CREATE TEMP TABLE found AS SELECT * FROM ai.verify_vectorizer('docs');
SELECT primary_key ->> 'created_at' AS key, chunk_seq, problem, detail FROM found ORDER BY (primary_key ->> 'created_at')::numeric, 2, 3;
SELECT ai._take_in(101);
SELECT count(*) FROM ai._vectorizer_q_101;
-- What is wrong is enqueued, under its exact key, also when nobody reads to the end.
SELECT problem IS NOT NULL AS found FROM (SELECT (ai.verify_vectorizer('docs', repair => true)).problem LIMIT 1) AS first;
SELECT ai._take_in(101);
SELECT pk_created_at, "Key 2" AT TIME ZONE 'UTC' AS key_2, version FROM ai._vectorizer_q_101 ORDER BY 1;
SELECT DISTINCT problem FROM ai.verify_vectorizer('docs') ORDER BY 1;
-- Who may.
SET ROLE ai_regress_reader;
SELECT pg_temp.error_of($$SELECT * FROM ai.verify_vectorizer('docs')$$);
SELECT pg_temp.error_of($$SELECT * FROM ai.verify_vectorizer(101)$$);
RESET ROLE;
SELECT count(*) > 0 AS superuser_may FROM ai.verify_vectorizer('docs');
SELECT pg_temp.error_of($$SELECT * FROM ai.verify_vectorizer('nobody')$$);
SELECT pg_temp.error_of($$SELECT * FROM ai.verify_vectorizer(99)$$);
SELECT pg_temp.error_of($$SELECT * FROM ai.verify_vectorizer(NULL::int)$$);
SELECT pg_temp.error_of($$SELECT * FROM ai.verify_vectorizer(NULL::text)$$);

-- A deferred constraint of the caller is not checked early.
CREATE TABLE app.parent (id int PRIMARY KEY);
CREATE TABLE app.child (id int REFERENCES app.parent DEFERRABLE INITIALLY DEFERRED);
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO app.child VALUES (1);
SELECT count(*) > 0 AS verified FROM ai.verify_vectorizer('docs');
INSERT INTO app.parent VALUES (1);
SET CONSTRAINTS ALL IMMEDIATE;

-- A vector in a column of the source.
CREATE TABLE app.note (id int PRIMARY KEY, body text);
SELECT ai.create_vectorizer('app.note', name => 'notes', destination => ai.destination_column('vec'), loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 2), chunking => ai.chunking_none(), scheduling => ai.scheduling_none());
INSERT INTO app.note (id, body) VALUES (1, 'one'), (2, 'two'), (3, ''), (4, ''), (5, NULL), (6, 'six');
UPDATE app.note SET vec = '[1,2]' WHERE id IN (1, 4);
SELECT ai._take_in(102);
DELETE FROM ai._vectorizer_q_102;
INSERT INTO ai._vectorizer_q_102 (id) VALUES (6);
SELECT * FROM ai.verify_vectorizer('notes') ORDER BY primary_key ->> 'id';
SELECT count(*) FROM ai.verify_vectorizer('notes', true);
SELECT ai._take_in(102);
SELECT id, version FROM ai._vectorizer_q_102 ORDER BY 1;
ROLLBACK;
