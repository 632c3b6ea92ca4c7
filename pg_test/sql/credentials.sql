-- Only a superuser says where the credentials of the server are used.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE ROLE regress_app;
GRANT USAGE ON FOREIGN SERVER ai_openai, ai_s3 TO regress_app;
CREATE SCHEMA app AUTHORIZATION regress_app;
CREATE FUNCTION pg_temp.make(embedding jsonb, loading jsonb DEFAULT ai.loading_uri('uri')) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format('SELECT ai.create_vectorizer(''app.doc'', loading => %L, embedding => %L)', loading, embedding))
$$;
SET LOCAL ROLE regress_app;
CREATE TABLE app.doc (uri text PRIMARY KEY);
SELECT pg_temp.make(ai.embedding_openai('m', 3));
SELECT pg_temp.make(ai.embedding_openai('m', 3, base_url => 'http://localhost:1/v1'));
SELECT pg_temp.make(ai.embedding_openai('m', 3, api_key_name => 'PGPASSWORD'));
SELECT pg_temp.make(ai.embedding_openai('m', 3, api_key_name => 'OPENAI_API_KEY'));
SELECT pg_temp.make(ai.embedding_openai('m', 3, api_key_name => NULL));
SELECT pg_temp.make(ai.embedding_openai('m', 3), ai.loading_uri('uri', aws_role_arn => 'arn:aws:iam::123456789012:role/r'));
-- Nor by JSON of one's own.
SELECT pg_temp.make('{"config_type": "embedding", "implementation": "openai", "model": "m", "dimensions": 3, "api_key_name": ["PGPASSWORD"]}');
SELECT pg_temp.make('{"config_type": "embedding", "implementation": "openai", "model": "m", "dimensions": 3, "base_url": null, "api_key_name": "OPENAI_API_KEY"}');
SELECT pg_temp.make('{"config_type": "embedding", "implementation": "openai", "model": "m", "dimensions": 3, "base_url": {"x": 1}}');
RESET ROLE;
SELECT pg_temp.make(ai.embedding_openai('m', 3, api_key_name => 'OTHER', base_url => 'http://localhost:1/v1'),
                    ai.loading_uri('uri', aws_role_arn => 'arn:aws:iam::123456789012:role/r'));
-- What a superuser made, a migration of the owner finds.
SELECT ai.create_vectorizer('app.doc', loading => ai.loading_uri('uri'), embedding => ai.embedding_openai('m', 3, base_url => 'http://localhost:1/v1')) > 0 AS made;
SET LOCAL ROLE regress_app;
SELECT ai.create_vectorizer('app.doc', loading => ai.loading_uri('uri'), embedding => ai.embedding_openai('m', 3, base_url => 'http://localhost:1/v1'),
    if_not_exists => true) > 0 AS found;
ROLLBACK;
