-- Vectorizers are stopped, started, asked to run, waited for and counted, by id and by name.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE ROLE regress_other;
CREATE TABLE doc (id int PRIMARY KEY, body text);
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
SELECT ai.create_vectorizer('doc', name => 'docs', loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());
INSERT INTO doc VALUES (1, 'one'), (2, 'two');

-- Both ways to stop and to start; a second time changes nothing.
CREATE FUNCTION pg_temp.disabled() RETURNS bool LANGUAGE sql AS $$ SELECT disabled FROM ai.vectorizer WHERE id = 101 $$;
SELECT ai.disable_vectorizer_schedule(101), pg_temp.disabled();
SELECT ai.disable_vectorizer_schedule(101), pg_temp.disabled();
SELECT ai.enable_vectorizer_schedule(101), pg_temp.disabled();
SELECT ai.enable_vectorizer_schedule(101), pg_temp.disabled();
SELECT ai.disable_vectorizer_schedule('docs'), pg_temp.disabled();
SELECT ai.enable_vectorizer_schedule('docs'), pg_temp.disabled();
-- What is stopped is still queued for.
SELECT ai.disable_vectorizer_schedule('docs');
INSERT INTO doc VALUES (3, 'three');
SELECT ai.vectorizer_queue_pending(101), ai.vectorizer_queue_pending('docs', true), pending_items, disabled
FROM ai.vectorizer_status WHERE id = 101;
SELECT ai.enable_vectorizer_schedule('docs');

-- A run that was asked for; asked for twice it is one.
SELECT ai.execute_vectorizer(101);
SELECT ai.execute_vectorizer('docs');
SELECT id, next_run <= now() AS due FROM ai._vectorizer_run WHERE id = 101;

-- The answer is the whole configuration; what is not said becomes the default. To stop and to start does not change it.
SELECT string_agg(key, ', ' ORDER BY key)
FROM jsonb_object_keys(ai.set_scheduling(101, ai.scheduling_timescaledb('1 hour', timezone => 'Europe/Berlin'))) AS key;
SELECT config -> 'scheduling' AS scheduling, config -> 'indexing' AS indexing FROM ai.vectorizer WHERE id = 101;
SELECT ai.disable_vectorizer_schedule(101), ai.enable_vectorizer_schedule(101);
SELECT ai.set_scheduling(101, ai.scheduling_default()) -> 'scheduling' AS scheduling;
SELECT ai.set_scheduling(101, ai.scheduling_none()) -> 'scheduling' AS scheduling;

-- Waiting ends with the time or with the queue.
SELECT ai.wait_for_vectorizer('docs', '0 s');
SELECT ai.wait_for_vectorizer('docs', timeout => '1 ms');
TRUNCATE doc;
SELECT ai.wait_for_vectorizer('docs', '0 s'), ai.vectorizer_queue_pending('docs');

-- pgai does nothing where a name is unknown.
SELECT statement, pg_temp.error_of('SELECT ' || statement) AS error
FROM unnest(ARRAY[
    'ai.disable_vectorizer_schedule(-1)', 'ai.disable_vectorizer_schedule(''nobody'')',
    'ai.enable_vectorizer_schedule(-1)', 'ai.enable_vectorizer_schedule(''nobody'')',
    'ai.execute_vectorizer(-1)', 'ai.execute_vectorizer(''nobody'')',
    'ai.wait_for_vectorizer(''nobody'')',
    'ai.vectorizer_queue_pending(-1)', 'ai.vectorizer_queue_pending(''nobody'', true)',
    'ai.set_scheduling(-1)', 'ai.set_scheduling(NULL)',
    'ai.drop_vectorizer(-1)', 'ai.drop_vectorizer(''nobody'')',
    'ai.vectorizer_embed(-1, ''text'')', 'ai.vectorizer_embed(''nobody'', ''text'')'
]) AS statement;

-- What cannot work is said as at creation.
SELECT pg_temp.error_of($$SELECT ai.set_scheduling(101, '[]')$$);
SELECT pg_temp.error_of($$SELECT ai.set_scheduling(101, ai.scheduling_default(), '{}')$$);
SELECT pg_temp.error_of($$SELECT ai.set_scheduling(101, ai.scheduling_none(), ai.indexing_hnsw())$$);
SELECT pg_temp.error_of($$SELECT ai.set_scheduling(101, ai.scheduling_timescaledb('-1 s'))$$);

-- For the owner of the source.
SET LOCAL ROLE regress_other;
SELECT statement, pg_temp.error_of('SELECT ' || statement) AS error
FROM unnest(ARRAY[
    'ai.disable_vectorizer_schedule(101)', 'ai.enable_vectorizer_schedule(''docs'')',
    'ai.execute_vectorizer(101)', 'ai.set_scheduling(101)', 'ai.vectorizer_queue_pending(101)'
]) AS statement;
ROLLBACK;

-- It would never see the queue change.
BEGIN ISOLATION LEVEL REPEATABLE READ;
CREATE TABLE doc (id int PRIMARY KEY, body text);
SELECT ai.create_vectorizer('doc', name => 'docs', loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none()) > 0 AS made;
SELECT ai.wait_for_vectorizer('docs');
ROLLBACK;
