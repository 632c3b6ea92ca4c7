-- What changes of the source table leave in the queue and in the destination.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE TABLE doc (id int PRIMARY KEY, body text, json json, place point, updated_at timestamptz, twice text GENERATED ALWAYS AS (body || body) STORED);
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2),
    scheduling => ai.scheduling_none());
-- Chunks of every row, as if a worker had been there, and an empty queue.
CREATE FUNCTION pg_temp.work() RETURNS void LANGUAGE sql AS $$
    DELETE FROM doc_embedding_store;
    INSERT INTO doc_embedding_store (id, chunk_seq, chunk, embedding)
    SELECT id, seq, coalesce(body, ''), '[1,0]' FROM doc, generate_series(0, 1) AS seq;
    DELETE FROM ai._vectorizer_q_101; DELETE FROM ai._vectorizer_intake_101;
    DELETE FROM ai._vectorizer_q_failed_101;
$$;
CREATE FUNCTION pg_temp.state() RETURNS TABLE (queued text, failed text, embedded text) LANGUAGE sql AS $$
    SELECT ai._take_in(101);
    SELECT (SELECT string_agg(id || ' v' || version, ', ' ORDER BY id) FROM ai._vectorizer_q_101),
           (SELECT string_agg(id::text, ', ' ORDER BY id) FROM ai._vectorizer_q_failed_101),
           (SELECT string_agg(DISTINCT id::text, ', ') FROM doc_embedding_store)
$$;

-- Inserts: one row, several, none, from a file.
INSERT INTO doc VALUES (1, 'one', '{"a": 1}', '(1,1)');
INSERT INTO doc SELECT i, 'text ' || i FROM generate_series(2, 4) AS i;
INSERT INTO doc SELECT 9 WHERE false;
COPY doc (id, body) FROM stdin;
5	five
6	six
\.
SELECT * FROM pg_temp.state();
-- New rows are not backfill, and wait for nothing.
SELECT DISTINCT backfill, attempts, crashes, loading_retries, loading_retry_after, lease FROM ai._vectorizer_q_101;

-- A change counts the version up; the place in the queue stays.
SELECT pg_temp.work();
UPDATE doc SET body = body || '!' WHERE id IN (1, 2);
SELECT ai._take_in(101);
UPDATE doc SET updated_at = '2026-01-01' WHERE id = 1;
SELECT * FROM pg_temp.state();
-- No change is no work: same values, no row, columns whose types have no equality operator.
SELECT pg_temp.work();
UPDATE doc SET body = body, json = json, place = place;
UPDATE doc SET body = 'nobody' WHERE id = 99;
UPDATE doc SET json = '{"a": 1}' WHERE id = 1;
SELECT * FROM pg_temp.state();
UPDATE doc SET json = '{"a":1}' WHERE id = 1;
SELECT ai._take_in(101);
UPDATE doc SET place = '(2,2)' WHERE id = 1;
UPDATE doc SET body = NULL WHERE id = 2;
SELECT * FROM pg_temp.state();
-- Of many rows, those that differ.
SELECT pg_temp.work();
UPDATE doc SET body = CASE WHEN id % 2 = 0 THEN body || '.' ELSE body END;
SELECT * FROM pg_temp.state();

-- DELETE takes the chunks away at once, and the row out of the queue and the failed queue.
SELECT pg_temp.work();
UPDATE doc SET body = 'again' WHERE id IN (5, 6);
SELECT ai._take_in(101);
INSERT INTO ai._vectorizer_q_failed_101 (id) VALUES (5), (6);
DELETE FROM doc WHERE id IN (4, 5);
SELECT * FROM pg_temp.state();

-- A changed key: the old one goes, the new one is work.
SELECT pg_temp.work();
UPDATE doc SET id = 60 WHERE id = 6;
SELECT * FROM pg_temp.state();
-- All keys at once.
SELECT pg_temp.work();
SAVEPOINT keys;
UPDATE doc SET id = -id;
SELECT * FROM pg_temp.state();
ROLLBACK TO keys;
-- What is rolled back leaves nothing.
SELECT * FROM pg_temp.state();
DELETE FROM doc;
INSERT INTO doc (id) VALUES (7);
SELECT * FROM pg_temp.state();
ROLLBACK TO keys;
SELECT * FROM pg_temp.state();

-- INSERT … ON CONFLICT: both at once.
INSERT INTO doc (id, body) VALUES (1, 'anew'), (8, 'eight')
ON CONFLICT (id) DO UPDATE SET body = excluded.body;
SELECT * FROM pg_temp.state();
SELECT pg_temp.work();
INSERT INTO doc (id, body) VALUES (1, 'anew') ON CONFLICT (id) DO UPDATE SET body = excluded.body;
INSERT INTO doc (id, body) VALUES (1, 'other') ON CONFLICT DO NOTHING;
SELECT * FROM pg_temp.state();
-- MERGE does all three.
MERGE INTO doc USING (VALUES (1), (2), (9)) AS given (id) ON doc.id = given.id
WHEN MATCHED AND doc.id = 1 THEN DELETE
WHEN MATCHED THEN UPDATE SET body = 'merged'
WHEN NOT MATCHED THEN INSERT (id, body) VALUES (given.id, 'merged');
SELECT * FROM pg_temp.state();
-- A row that leaves and comes back in one statement is there, so it is work.
SELECT pg_temp.work();
MERGE INTO doc USING (VALUES (2, true), (2, false)) AS given (id, leaves) ON doc.id = given.id AND given.leaves
WHEN MATCHED THEN DELETE
WHEN NOT MATCHED THEN INSERT (id, body) VALUES (given.id, 'back');
SELECT id, body FROM doc WHERE id = 2;
SELECT queued FROM pg_temp.state();

-- A value that is stored out of line and not touched is the same value.
ALTER TABLE doc ALTER body SET STORAGE EXTERNAL;
INSERT INTO doc (id, body) VALUES (10, repeat('long text ', 10000));
SELECT pg_temp.work();
UPDATE doc SET updated_at = updated_at WHERE id = 10;
UPDATE doc SET body = repeat('long text ', 10000) WHERE id = 10;
SELECT queued FROM pg_temp.state();
UPDATE doc SET body = repeat('long text ', 9999) || 'long text!' WHERE id = 10;
SELECT queued FROM pg_temp.state();

-- TRUNCATE empties all three.
INSERT INTO ai._vectorizer_q_failed_101 (id) VALUES (3);
TRUNCATE doc;
SELECT * FROM pg_temp.state();
INSERT INTO doc (id) VALUES (1);
CREATE TABLE parent (id int PRIMARY KEY);
ALTER TABLE doc ADD FOREIGN KEY (id) REFERENCES parent NOT VALID;
TRUNCATE parent CASCADE;
SELECT * FROM pg_temp.state();
-- Deleted by a cascade.
ALTER TABLE doc DROP CONSTRAINT doc_id_fkey, ADD FOREIGN KEY (id) REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE;
INSERT INTO parent VALUES (1), (2), (3);
INSERT INTO doc (id, body) SELECT id, 'child' FROM parent;
SELECT pg_temp.work();
DELETE FROM parent WHERE id = 1;
UPDATE parent SET id = 20 WHERE id = 2;
SELECT * FROM pg_temp.state();

-- A row that is being worked on keeps its lease and its attempts; its version tells that it changed.
UPDATE doc SET body = 'v' WHERE id = 3;
SELECT ai._take_in(101);
UPDATE ai._vectorizer_q_101 SET lease = 7, attempts = 2, crashes = 1 WHERE id = 3;
UPDATE doc SET body = 'w' WHERE id = 3;
SELECT ai._take_in(101);
SELECT version, lease, attempts, crashes FROM ai._vectorizer_q_101 WHERE id = 3;
-- One that waits starts anew.
UPDATE ai._vectorizer_q_101 SET lease = NULL, loading_retries = 3, loading_retry_after = '2100-01-01' WHERE id = 3;
UPDATE doc SET body = 'x' WHERE id = 3;
SELECT ai._take_in(101);
SELECT version, lease, attempts, crashes, loading_retries, loading_retry_after FROM ai._vectorizer_q_101 WHERE id = 3;
ROLLBACK;
