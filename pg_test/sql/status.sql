-- What ai.vectorizer_status, ai.vectorizer_errors, ai.worker_status and ai.vectorizer_queue_pending tell.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
SELECT view, string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) AS columns
FROM unnest('{ai.vectorizer_status,ai.vectorizer_errors,ai.worker_status}'::regclass[]) WITH ORDINALITY AS v (view, number)
JOIN pg_attribute ON attrelid = view
WHERE attnum > 0
GROUP BY view, number ORDER BY number;

BEGIN;
CREATE SCHEMA "Odd Schema";
CREATE TABLE "Odd Schema"."The Docs" (id int PRIMARY KEY, body text);
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
SELECT ai.create_vectorizer('"Odd Schema"."The Docs"', name => 'docs', destination => ai.destination_table('emb'), loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());
INSERT INTO "Odd Schema"."The Docs" VALUES (1, 'one'), (2, 'two');
\x on
SELECT * FROM ai.vectorizer_status WHERE id = 101;
\x off
-- Tables that are renamed or moved are followed.
CREATE SCHEMA moved;
ALTER TABLE "Odd Schema"."The Docs" RENAME TO docs;
ALTER TABLE "Odd Schema".docs SET SCHEMA moved;
ALTER VIEW "Odd Schema".emb RENAME TO chunks;
SELECT source_table, target_table, view, pending_items FROM ai.vectorizer_status WHERE id = 101;
SELECT source_schema, source_table FROM ai.vectorizer WHERE id = 101;
UPDATE moved.docs SET body = 'changed';
SELECT ai._take_in(101);
SELECT id, version FROM ai._vectorizer_q_101 ORDER BY id;

-- The count: exact, or up to a cap.
SELECT ai.vectorizer_queue_pending(101), ai.vectorizer_queue_pending('docs'), ai.vectorizer_queue_pending('docs', exact_count => true);
INSERT INTO moved.docs SELECT i FROM generate_series(3, 10000) AS i;
SELECT ai.vectorizer_queue_pending(101), ai.vectorizer_queue_pending(101, exact_count => true);
INSERT INTO moved.docs VALUES (0);
SELECT ai.vectorizer_queue_pending(101), ai.vectorizer_queue_pending(101, exact_count => true);
SELECT pending_items FROM ai.vectorizer_status WHERE id = 101;
SELECT pg_temp.error_of('SELECT ai.vectorizer_queue_pending(-1)');
SELECT pg_temp.error_of($$SELECT ai.vectorizer_queue_pending('nobody')$$);

-- Why nothing happens.
SELECT vectorizer, database = current_database() AS here, state, reason FROM ai.worker_status WHERE vectorizer = 'docs';
UPDATE ai._vectorizer SET disabled = true WHERE id = 101;
SELECT vectorizer, state, reason FROM ai.worker_status WHERE vectorizer = 'docs';
SELECT disabled FROM ai.vectorizer_status WHERE id = 101;
UPDATE ai._vectorizer SET disabled = false, config = jsonb_set(config, '{scheduling,implementation}', '"default"') WHERE id = 101;
UPDATE ai._vectorizer SET config = jsonb_set(config, '{embedding,api_key_name}', '"REGRESS_NO_SUCH_KEY"') WHERE id = 101;
SELECT vectorizer, state, reason FROM ai.worker_status WHERE vectorizer = 'docs';
INSERT INTO ai._vectorizer_state (id, retry_at, reason) VALUES (101, '2030-01-01 12:00:00.5', 'the provider refuses the key');
SELECT vectorizer, state, reason FROM ai.worker_status WHERE vectorizer = 'docs';
-- The launcher is there.
SELECT process, pid IS NOT NULL AS has_pid, database, state IS NOT NULL AS has_state, reason FROM ai.worker_status WHERE process = 'launcher';
ROLLBACK;
