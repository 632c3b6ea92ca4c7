-- Foreign servers: who is asked, where documents come from, and who may use them.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
SELECT s.srvname, s.srvtype, w.fdwname, s.srvoptions, s.srvacl, obj_description(s.oid, 'pg_foreign_server') IS NOT NULL AS comment
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
WHERE w.fdwname IN ('ai_provider', 'ai_source') ORDER BY w.fdwname, s.srvname;
-- Options have names and values that are known, and hold no credential.
CREATE FUNCTION pg_temp.server(kind text, wrapper text, options text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format('CREATE SERVER own TYPE %L FOREIGN DATA WRAPPER %I OPTIONS (%s)', kind, wrapper, options))
$$;
SELECT pg_temp.server('openai', 'ai_provider', $$base_url 'http://localhost:1/v1', api_key 'env:OWN_KEY', requests_per_minute '60', tokens_per_minute '1000'$$);
SELECT pg_temp.server('openai', 'ai_provider', $$api_key 'file:/run/secrets/key'$$);
SELECT pg_temp.server('openai', 'ai_provider', $$api_key 'sk-canary'$$);
SELECT pg_temp.server('openai', 'ai_provider', $$base_url 'https://me:canary@host/'$$);
SELECT pg_temp.server('openai', 'ai_provider', $$api_keys 'env:OWN_KEY'$$);
SELECT pg_temp.server('openai', 'ai_provider', $$requests_per_minute 'many'$$);
SELECT pg_temp.server('s3', 'ai_source', $$endpoint 'http://localhost:1', region 'eu-central-1', path_style 'true', anonymous 'false', role_arn 'arn:aws:iam::123456789012:role/r', external_id 'tenant-7', allowed_roles 'arn:aws:iam::123456789012:role/*', allowed_urls 's3://docs/public, s3://other'$$);
SELECT pg_temp.server('http', 'ai_source', $$allowed_urls 'https://host/docs', allow_private 'true'$$);
SELECT pg_temp.server('file', 'ai_source', $$allowed_urls '/srv/docs'$$);
SELECT pg_temp.server('s3', 'ai_source', $$request_payer 'requester'$$);
SELECT pg_temp.server('s3', 'ai_source', $$request_payer 'owner'$$);
SELECT pg_temp.server('http', 'ai_source', $$request_payer 'requester'$$);
SELECT pg_temp.server('s3', 'ai_source', $$api_key 'env:OWN_KEY'$$);
SELECT pg_temp.server('s3', 'ai_source', $$allowed_roles 'reader'$$);
-- The type decides.
SELECT pg_temp.server('s3', 'ai_source', $$allowed_urls 'https://host/'$$);
SELECT pg_temp.server('http', 'ai_source', $$region 'eu-central-1'$$);
SELECT pg_temp.server('s3', 'ai_provider', $$base_url 'http://localhost:1'$$);
SELECT pg_temp.error_of('CREATE SERVER own FOREIGN DATA WRAPPER ai_source');
SELECT pg_temp.error_of('ALTER SERVER ai_s3 OPTIONS (ADD allow_private ''true'')');
SELECT pg_temp.error_of('CREATE USER MAPPING FOR CURRENT_USER SERVER ai_openai OPTIONS (api_key ''sk-canary'')');
SELECT pg_temp.error_of('CREATE USER MAPPING FOR CURRENT_USER SERVER ai_openai OPTIONS (base_url ''http://localhost:1'')');
SELECT pg_temp.error_of('CREATE USER MAPPING FOR CURRENT_USER SERVER ai_openai OPTIONS (api_key ''env:OWN_KEY'')');

-- The owner of a vectorizer needs USAGE, and the error says how it is given.
CREATE ROLE regress_app;
CREATE SCHEMA app AUTHORIZATION regress_app;
CREATE TABLE app.doc (uri text PRIMARY KEY);
ALTER TABLE app.doc OWNER TO regress_app;
CREATE SERVER own_openai TYPE 'openai' FOREIGN DATA WRAPPER ai_provider OPTIONS (base_url 'http://localhost:1/v1', api_key 'env:OWN_KEY');
CREATE SERVER own_s3 TYPE 's3' FOREIGN DATA WRAPPER ai_source OPTIONS (allowed_roles 'arn:aws:iam::123456789012:role/reader');
CREATE FUNCTION pg_temp.make(embedding jsonb, loading jsonb DEFAULT ai.loading_uri('uri')) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format('SELECT ai.create_vectorizer(''app.doc'', loading => %L, embedding => %L)', loading, embedding))
$$;
SELECT pg_temp.make(ai.embedding_openai('m', 3)) AS by_superuser;
SET LOCAL ROLE regress_app;
SELECT pg_temp.make(ai.embedding_openai('m', 3));
SELECT pg_temp.make(ai.embedding_openai('m', 3, server => 'own_openai'));
-- Nobody helps himself to a credential.
SELECT pg_temp.error_of('CREATE SERVER mine TYPE ''openai'' FOREIGN DATA WRAPPER ai_provider');
SELECT pg_temp.error_of('CREATE USER MAPPING FOR CURRENT_USER SERVER own_openai OPTIONS (api_key ''env:PGPASSWORD'')');
RESET ROLE;
GRANT USAGE ON FOREIGN DATA WRAPPER ai_provider TO regress_app;
GRANT USAGE ON FOREIGN SERVER own_openai TO regress_app;
SET LOCAL ROLE regress_app;
SELECT pg_temp.error_of('CREATE SERVER mine TYPE ''openai'' FOREIGN DATA WRAPPER ai_provider');
SELECT pg_temp.error_of('CREATE USER MAPPING FOR CURRENT_USER SERVER own_openai OPTIONS (api_key ''env:PGPASSWORD'')');
SELECT pg_temp.error_of('CREATE USER MAPPING FOR CURRENT_USER SERVER own_openai');
SELECT pg_temp.make(ai.embedding_openai('m', 3, server => 'own_openai'));
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER own_s3, ai_http TO regress_app;
SET LOCAL ROLE regress_app;
SELECT pg_temp.make(ai.embedding_openai('m', 3, server => 'own_openai'));
SELECT pg_temp.make(ai.embedding_openai('m', 3, server => 'own_openai'), ai.loading_uri('uri', server => 'own_s3'));
-- A role of AWS where the server allows it; address and key only by the server.
SELECT pg_temp.make(ai.embedding_openai('m', 3, server => 'own_openai'), ai.loading_uri('uri', server => 'own_s3', aws_role_arn => 'arn:aws:iam::123456789012:role/reader'));
SELECT pg_temp.make(ai.embedding_openai('m', 3, server => 'own_openai'), ai.loading_uri('uri', server => 'own_s3', aws_role_arn => 'arn:aws:iam::123456789012:role/admin'));
SELECT pg_temp.make(ai.embedding_openai('m', 3, server => 'own_openai'), ai.loading_uri('uri', aws_role_arn => 'arn:aws:iam::123456789012:role/reader'));
SELECT pg_temp.make(ai.embedding_openai('m', 3, server => 'own_openai', base_url => 'http://localhost:2'));
SELECT pg_temp.make(ai.embedding_openai('m', 3, server => 'own_openai', api_key_name => 'PGPASSWORD'));
-- The server must be there, and of the right kind.
SELECT pg_temp.make(ai.embedding_openai('m', 3, server => 'nowhere'));
SELECT pg_temp.make(ai.embedding_openai('m', 3, server => 'own_s3'));
SELECT pg_temp.make(ai.embedding_ollama('m', 3, server => 'own_openai'));
SELECT pg_temp.make(ai.embedding_litellm('openai/m', 3, server => 'own_openai'));
SELECT pg_temp.make(ai.embedding_openai('m', 3, server => 'own_openai'), ai.loading_uri('uri', server => 'own_openai'));
SELECT pg_temp.make(ai.embedding_openai('m', 3, server => 'own_openai'), ai.loading_column('uri', server => 'own_s3'));
-- A server that is in use stays.
SELECT ai.create_vectorizer('app.doc', name => 'doc', loading => ai.loading_uri('uri', server => 'own_s3'), embedding => ai.embedding_openai('m', 3, server => 'own_openai')) > 0 AS made;
RESET ROLE;
SELECT pg_temp.error_of('DROP SERVER own_openai CASCADE');
SELECT pg_temp.error_of('DROP SERVER own_s3');
SELECT ai.drop_vectorizer('doc');
SELECT pg_temp.error_of('DROP SERVER own_s3');
-- What is looked up as the extension is not the caller's to replace.
GRANT USAGE ON FOREIGN SERVER ai_openai TO regress_app;
SET LOCAL ROLE regress_app;
CREATE FUNCTION app.format(text, name, name) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'as %', current_user; END $$;
CREATE FUNCTION app.has_server_privilege(oid, oid, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'as %', current_user; END $$;
CREATE FUNCTION app.same(oid, oid) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'as %', current_user; END $$;
CREATE OPERATOR app.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = app.same);
CREATE VIEW app.pg_foreign_server AS SELECT 1 AS oid;
SET LOCAL search_path = app, pg_catalog;
SELECT pg_temp.error_of('SELECT ai.openai_embed(''m'', ''text'', dimensions => 3)');
RESET search_path;
RESET ROLE;
-- The key appears only where a server was named.
SELECT ai.loading_uri('uri'), ai.loading_uri('uri', server => 's'), ai.loading_column('body', server => 's');
SELECT ai.embedding_openai('m', 3, server => 's'), ai.embedding_ollama('m', 3, server => 's'), ai.embedding_voyageai('m', 3, server => 's'), ai.embedding_litellm('cohere/m', 3, server => 's');
ROLLBACK;
