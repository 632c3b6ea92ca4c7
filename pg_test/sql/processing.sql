-- ai.processing_default: the JSON that it builds, and the bounds of its numbers.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
SELECT ai.processing_default();
SELECT ai.processing_default(batch_size => 50);
SELECT ai.processing_default(concurrency => 10);
SELECT ai.processing_default(1, 2);

BEGIN;
CREATE TABLE doc (id int PRIMARY KEY, body text);
CREATE FUNCTION pg_temp.with_processing(processing jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format(
        'SELECT ai.create_vectorizer(''doc'', loading => ai.loading_column(''body''),
             embedding => ai.embedding_openai(''m'', 3), processing => %L)', processing))
$$;
SELECT pg_temp.with_processing('[]');
SELECT pg_temp.with_processing(NULL);
SELECT pg_temp.with_processing('{}');
SELECT pg_temp.with_processing('{"config_type": "processing"}');
SELECT pg_temp.with_processing('{"config_type": "processing", "implementation": "by hand"}');
SELECT pg_temp.with_processing('{"config_type": "processing", "implementation": "default", "batch_size": "5"}');
SELECT pg_temp.with_processing('{"config_type": "processing", "implementation": "default", "concurrency": "5"}');
SELECT pg_temp.with_processing(ai.processing_default(batch_size => 2049));
SELECT pg_temp.with_processing(ai.processing_default(batch_size => 0));
SELECT pg_temp.with_processing(ai.processing_default(batch_size => 2048));
SELECT pg_temp.with_processing(ai.processing_default(concurrency => 51));
SELECT pg_temp.with_processing(ai.processing_default(concurrency => 0));
SELECT pg_temp.with_processing(ai.processing_default(concurrency => 50));
ROLLBACK;
