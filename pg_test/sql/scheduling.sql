-- ai.scheduling_none, ai.scheduling_default and ai.scheduling_timescaledb: the JSON that they build and what the default
-- becomes.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
SELECT ai.scheduling_none();
SELECT ai.scheduling_default();
SELECT ai.scheduling_timescaledb();
SELECT ai.scheduling_timescaledb('10m', '2025-01-02 03:04:05+00', true, 'Europe/Berlin') - 'initial_start' AS all_of_it;
SELECT (ai.scheduling_timescaledb(initial_start => '2025-01-02 03:04:05+00') ->> 'initial_start')::timestamptz AT TIME ZONE 'UTC' AS start;
SELECT ai.scheduling_timescaledb(NULL, timezone => 'UTC');

BEGIN;
CREATE TABLE doc (id int PRIMARY KEY, body text);
CREATE FUNCTION pg_temp.with_scheduling(scheduling jsonb, indexing jsonb DEFAULT ai.indexing_default()) RETURNS text
LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format(
        'SELECT ai.create_vectorizer(''doc'', loading => ai.loading_column(''body''),
             embedding => ai.embedding_openai(''m'', 3), scheduling => %L, indexing => %L)', scheduling, indexing))
$$;
SELECT pg_temp.with_scheduling('[]');
SELECT pg_temp.with_scheduling(NULL);
SELECT pg_temp.with_scheduling('{}');
SELECT pg_temp.with_scheduling('{"config_type": "scheduling"}');
SELECT pg_temp.with_scheduling('{"config_type": "scheduling", "implementation": "whenever"}');
SELECT value, pg_temp.with_scheduling(ai.scheduling_timescaledb() || value) AS error
FROM unnest(ARRAY['{"schedule_interval": "soon"}', '{"schedule_interval": "0 s"}', '{"schedule_interval": "-5 m"}',
    '{"schedule_interval": null}', '{"initial_start": "yesterday noon?"}', '{"timezone": "Mars/Olympus"}',
    '{"fixed_schedule": true, "timezone": "Europe/Berlin", "initial_start": "2025-01-02 03:04:05+00"}']::jsonb[]) AS value;
SELECT pg_temp.with_scheduling(ai.scheduling_none(), ai.indexing_none());
SELECT pg_temp.with_scheduling(ai.scheduling_none(), ai.indexing_default());
SELECT pg_temp.with_scheduling(ai.scheduling_none(), ai.indexing_hnsw());
SELECT pg_temp.with_scheduling(ai.scheduling_timescaledb(), ai.indexing_hnsw());

SELECT ai.create_vectorizer('doc', name => 'by_default', destination => ai.destination_table('a'),
    loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 3)) > 0 AS made;
SET LOCAL ai.scheduling_default = 'scheduling_none';
SELECT ai.create_vectorizer('doc', name => 'by_setting', destination => ai.destination_table('b'),
    loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 3)) > 0 AS made;
SELECT name, config -> 'scheduling' AS scheduling FROM ai.vectorizer WHERE name LIKE 'by\_%' ORDER BY name;
SET LOCAL ai.scheduling_default = 'scheduling_whenever';
SELECT pg_temp.with_scheduling(ai.scheduling_default());
ROLLBACK;
