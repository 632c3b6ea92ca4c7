-- ai.scheduling_none and ai.scheduling_default: the JSON that they build and what the default becomes.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
SELECT ai.scheduling_none();
SELECT ai.scheduling_default();

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
SELECT pg_temp.with_scheduling(ai.scheduling_none(), ai.indexing_none());
SELECT pg_temp.with_scheduling(ai.scheduling_none(), ai.indexing_default());

SELECT ai.create_vectorizer('doc', name => 'by_default', destination => ai.destination_table('a'),
    loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 3)) > 0 AS made;
SET LOCAL ai.scheduling_default = 'scheduling_none';
SELECT ai.create_vectorizer('doc', name => 'by_setting', destination => ai.destination_table('b'),
    loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 3)) > 0 AS made;
SELECT name, config -> 'scheduling' AS scheduling FROM ai.vectorizer WHERE name LIKE 'by\_%' ORDER BY name;
SET LOCAL ai.scheduling_default = 'scheduling_whenever';
SELECT pg_temp.with_scheduling(ai.scheduling_default());
ROLLBACK;
