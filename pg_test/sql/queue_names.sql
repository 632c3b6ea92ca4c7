-- queue_schema, queue_table and enqueue_existing.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE SCHEMA "Queue Schema";
CREATE TABLE doc (id int PRIMARY KEY, body text);
INSERT INTO doc SELECT i, 'text' FROM generate_series(1, 3) AS i;
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
CREATE FUNCTION pg_temp.make(destination name, queue_schema name, queue_table name, enqueue_existing bool) RETURNS int LANGUAGE sql AS $$
    SELECT ai.create_vectorizer('doc', destination => ai.destination_table(destination), loading => ai.loading_column('body'),
        embedding => ai.embedding_openai('m', 3), scheduling => ai.scheduling_none(),
        queue_schema => queue_schema, queue_table => queue_table, enqueue_existing => enqueue_existing)
$$;
SELECT pg_temp.make('a', NULL, NULL, true);
SELECT pg_temp.make('b', 'Queue Schema', 'the "queue"', true);
SELECT pg_temp.make('c', 'Queue Schema', NULL, false);
SELECT pg_temp.make('d', NULL, 'plain_queue', true);
SELECT id, queue_schema, queue_table, queue_failed_table, trigger_name, ai.vectorizer_queue_pending(id) AS pending
FROM ai.vectorizer WHERE id > 100 ORDER BY id;
SELECT trigger_function::text FROM ai._vectorizer WHERE id > 100 ORDER BY id;
-- Changes reach all of them.
INSERT INTO doc VALUES (4, 'more');
SELECT id, ai.vectorizer_queue_pending(id) AS pending FROM ai.vectorizer WHERE id > 100 ORDER BY id;
-- Names that are taken or nowhere.
SELECT pg_temp.error_of($$SELECT pg_temp.make('e', NULL, 'plain_queue', true)$$);
SELECT pg_temp.error_of($$SELECT pg_temp.make('e', 'public', 'doc', true)$$);
SELECT pg_temp.error_of($$SELECT pg_temp.make('e', 'nowhere', NULL, true)$$);
ROLLBACK;
