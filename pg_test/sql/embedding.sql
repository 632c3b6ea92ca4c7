-- ai.embedding_openai: the JSON that it builds, and what ai.create_vectorizer says of JSON that it does not build.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
SELECT ai.embedding_openai('text-embedding-3-small', 768);
SELECT ai.embedding_openai('m', 3, chat_user => 'bob', api_key_name => 'OTHER_KEY', base_url => 'http://localhost/v1');
SELECT ai.embedding_openai('m', 3, 'bob', NULL, NULL);
SELECT ai.embedding_openai(NULL, NULL);

BEGIN;
CREATE TABLE doc (id int PRIMARY KEY, body text);
CREATE FUNCTION pg_temp.with_embedding(embedding jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format(
        'SELECT ai.create_vectorizer(''doc'', loading => ai.loading_column(''body''), embedding => %L)', embedding))
$$;
SELECT pg_temp.with_embedding('{}');
SELECT pg_temp.with_embedding(ai.embedding_openai('m', NULL));
SELECT pg_temp.with_embedding('{"dimensions": 3}');
SELECT pg_temp.with_embedding('{"config_type": "parsing", "dimensions": 3}');
SELECT pg_temp.with_embedding('{"config_type": "embedding", "dimensions": 3}');
SELECT pg_temp.with_embedding('{"config_type": "embedding", "implementation": "telepathy", "dimensions": 3}');
SELECT pg_temp.with_embedding('{"config_type": "embedding", "implementation": "sentence_transformers", "dimensions": 3}');
SELECT pg_temp.with_embedding('{"config_type": "embedding", "implementation": "openai", "dimensions": 3}');
-- The bounds of the type vector.
SELECT pg_temp.with_embedding(ai.embedding_openai('m', 0));
SELECT pg_temp.with_embedding(ai.embedding_openai('m', -1));
SELECT pg_temp.with_embedding(ai.embedding_openai('m', 16001));
SELECT pg_temp.with_embedding(ai.embedding_openai('m', 16000));
SELECT pg_temp.with_embedding(ai.embedding_openai('m', 1));
ROLLBACK;
