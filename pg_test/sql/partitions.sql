-- What changes of a partitioned source leave in the queue and in the destination.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE SCHEMA app;
-- The key is not the first column, and in the partitions the columns have other numbers.
CREATE TABLE app.doc (body text, gone int, id int, year int, note text, PRIMARY KEY (year, id)) PARTITION BY RANGE (year);
ALTER TABLE app.doc DROP gone;
CREATE TABLE app.doc_2024 PARTITION OF app.doc FOR VALUES FROM (2024) TO (2025);
CREATE TABLE app.doc_2025 (id int NOT NULL, junk int, year int NOT NULL, note text, body text);
ALTER TABLE app.doc_2025 DROP junk;
ALTER TABLE app.doc ATTACH PARTITION app.doc_2025 FOR VALUES FROM (2025) TO (2026);
CREATE TABLE app.doc_rest PARTITION OF app.doc DEFAULT PARTITION BY LIST (year);
CREATE TABLE app.doc_2030 PARTITION OF app.doc_rest FOR VALUES IN (2030);
INSERT INTO app.doc (year, id, body) VALUES (2024, 1, 'one'), (2025, 1, 'two');
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
SELECT ai.create_vectorizer('app.doc', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());
SELECT ai.create_vectorizer('app.doc', destination => ai.destination_column('vec'), chunking => ai.chunking_none(),
    loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());
SELECT year, id, backfill FROM ai._vectorizer_q_101 ORDER BY 1, 2;
SELECT tgrelid::regclass, tgname, tgtype & 1 AS by_row FROM pg_trigger WHERE tgname LIKE '\_vectorizer\_src\_trg\_101%' ORDER BY tgrelid::regclass::text, tgname;
-- Chunks of every row, as if a worker had been there, and empty queues.
CREATE FUNCTION pg_temp.work() RETURNS void LANGUAGE sql AS $$
    DELETE FROM app.doc_embedding_store;
    INSERT INTO app.doc_embedding_store (year, id, chunk_seq, chunk, embedding) SELECT year, id, 0, 'text', '[1,0]' FROM app.doc;
    SELECT ai._take_in(id) FROM generate_series(101, 102) AS id;
    DELETE FROM ai._vectorizer_q_101;
    DELETE FROM ai._vectorizer_q_failed_101;
    DELETE FROM ai._vectorizer_q_102;
$$;
CREATE FUNCTION pg_temp.state() RETURNS TABLE (queued text, failed text, embedded text, queued_for_column text) LANGUAGE sql AS $$
    SELECT ai._take_in(id) FROM generate_series(101, 102) AS id;
    SELECT (SELECT string_agg(format('%s/%s v%s', year, id, version), ', ' ORDER BY year, id) FROM ai._vectorizer_q_101),
           (SELECT string_agg(format('%s/%s', year, id), ', ' ORDER BY year, id) FROM ai._vectorizer_q_failed_101),
           (SELECT string_agg(format('%s/%s', year, id), ', ' ORDER BY year, id) FROM app.doc_embedding_store),
           (SELECT string_agg(format('%s/%s v%s', year, id, version), ', ' ORDER BY year, id) FROM ai._vectorizer_q_102)
$$;
SELECT pg_temp.work();
-- Through the whole and through its parts.
INSERT INTO app.doc (year, id, body) VALUES (2024, 2, 'a'), (2030, 2, 'b');
INSERT INTO app.doc_2025 (year, id, body) VALUES (2025, 2, 'c');
INSERT INTO app.doc_rest (year, id, body) VALUES (2030, 3, 'd');
COPY app.doc_2024 (year, id, body) FROM stdin;
2024	3	e
\.
SELECT * FROM pg_temp.state();
SELECT pg_temp.work();
UPDATE app.doc SET note = 'x' WHERE id = 1;
UPDATE app.doc_2025 SET body = 'cc' WHERE id = 2;
UPDATE app.doc_2030 SET body = body;
SELECT * FROM pg_temp.state();
-- Vectors are no news.
SELECT pg_temp.work();
UPDATE app.doc SET vec = '[1,0]';
UPDATE app.doc_2025 SET vec = '[0,1]';
SELECT * FROM pg_temp.state();
-- Removed, in the queue and in the failed queue.
UPDATE app.doc SET note = 'y' WHERE year = 2030;
INSERT INTO ai._vectorizer_q_failed_101 (year, id) VALUES (2025, 2), (2030, 2);
DELETE FROM app.doc WHERE year = 2030 AND id = 2;
DELETE FROM app.doc_2025 WHERE id = 2;
SELECT * FROM pg_temp.state();
-- Another key; another partition, which is another key, too.
SELECT pg_temp.work();
UPDATE app.doc SET id = 10 WHERE year = 2024 AND id = 1;
UPDATE app.doc SET year = 2030 WHERE year = 2025;
SELECT * FROM pg_temp.state();
SELECT year, id, tableoid::regclass FROM app.doc ORDER BY 1, 2;
INSERT INTO app.doc (year, id, body) VALUES (2024, 2, 'new'), (2025, 7, 'seven') ON CONFLICT (year, id) DO UPDATE SET body = excluded.body;
SELECT * FROM pg_temp.state();
-- All at once.
SELECT pg_temp.work();
UPDATE app.doc SET note = 'z';
SAVEPOINT whole;
TRUNCATE app.doc;
SELECT * FROM pg_temp.state();
ROLLBACK TO whole;
-- A part alone: its rows go, the others stay.
TRUNCATE app.doc_2024;
SELECT * FROM pg_temp.state();
SELECT year, id FROM app.doc ORDER BY 1, 2;
ROLLBACK TO whole;
-- Parts that leave: their rows are no longer the table's. Those that join are.
ALTER TABLE app.doc DETACH PARTITION app.doc_2024;
SELECT * FROM pg_temp.state();
UPDATE app.doc_2024 SET note = 'detached';
SELECT queued FROM pg_temp.state();
ALTER TABLE app.doc ATTACH PARTITION app.doc_2024 FOR VALUES FROM (2024) TO (2025);
SELECT * FROM pg_temp.state();
SELECT pg_temp.work();
UPDATE app.doc_2024 SET note = 'attached' WHERE id = 2;
SELECT queued FROM pg_temp.state();
DROP TABLE app.doc_2024;
SELECT * FROM pg_temp.state();
ROLLBACK TO whole;
-- Parts cannot be sources of their own, and the vectorizer is dropped like any other.
SELECT pg_temp.error_of($$SELECT ai.create_vectorizer('app.doc_2024', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2))$$);
SELECT ai.drop_vectorizer(101, true);
SELECT ai.drop_vectorizer(102, true);
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname LIKE '\_vectorizer%';
UPDATE app.doc SET note = 'free';
SELECT * FROM pg_temp.columns_of('app.doc_2025');
ROLLBACK;
