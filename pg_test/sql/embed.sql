-- ai.openai_embed and ai.vectorizer_embed: who may call them, and what is refused before anybody is asked. The server has
-- no key, which is what a call that is allowed ends with.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE ROLE regress_reader;
CREATE ROLE regress_caller;
CREATE SCHEMA app;
CREATE TABLE app.doc (id int PRIMARY KEY, body text);
SELECT ai.create_vectorizer('app.doc', name => 'doc', loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 3, api_key_name => 'REGRESS_NO_SUCH_KEY', base_url => 'http://127.0.0.1:1/v1'), scheduling => ai.scheduling_none()) AS vectorizer_id \gset
CREATE FUNCTION pg_temp.attempts(calls text[]) RETURNS TABLE (call text, error text) LANGUAGE sql AS $$
    SELECT call, pg_temp.error_of('SELECT * FROM ' || call) FROM unnest(calls) AS call
$$;

-- What the server's key pays for is not for everyone.
SET LOCAL ROLE regress_reader;
SELECT error FROM pg_temp.attempts(ARRAY[
    'ai.openai_embed(''m'', ''text'')',
    'ai.openai_embed(''m'', ARRAY[''text''])',
    'ai.openai_embed(''m'', ''text'', api_key => ''my own'')',
    'ai.ollama_embed(''m'', ''text'')',
    'ai.voyageai_embed(''m'', ''text'')',
    'ai.voyageai_embed(''m'', ARRAY[''text''])',
    'ai.vectorizer_embed(ai.embedding_openai(''m'', 3), ''text'')']);
-- A vectorizer embeds for whom may read what it wrote.
SELECT error FROM pg_temp.attempts(ARRAY['ai.vectorizer_embed(''doc'', ''text'')']);
SELECT pg_temp.error_of(format('SELECT ai.vectorizer_embed(%s, ''text'')', :vectorizer_id)) ~ '^42704' AS refused_by_id;
RESET ROLE;
GRANT SELECT ON app.doc_embedding TO regress_reader;
SET LOCAL ROLE regress_reader;
SELECT error FROM pg_temp.attempts(ARRAY['ai.vectorizer_embed(''doc'', ''text'')']);
RESET ROLE;
GRANT USAGE ON SCHEMA app TO regress_reader;
SET LOCAL ROLE regress_reader;
SELECT error FROM pg_temp.attempts(ARRAY['ai.vectorizer_embed(''doc'', ''text'')']);
SELECT pg_temp.error_of(format('SELECT ai.vectorizer_embed(%s, ''text'')', :vectorizer_id)) ~ '^55000' AS allowed_by_id;
RESET ROLE;
REVOKE SELECT ON app.doc_embedding FROM regress_reader;
GRANT SELECT ON app.doc_embedding_store TO regress_reader;
SET LOCAL ROLE regress_reader;
SELECT error FROM pg_temp.attempts(ARRAY['ai.vectorizer_embed(''doc'', ''text'')']);
RESET ROLE;

-- Who was told that he may call does not choose which key is sent where.
GRANT USAGE ON FOREIGN SERVER ai_openai, ai_ollama, ai_voyageai, ai_cohere, ai_azure, ai_mistral TO regress_caller;
SET LOCAL ROLE regress_caller;
SELECT * FROM pg_temp.attempts(ARRAY[
    'ai.openai_embed(''m'', ''text'', dimensions => 3)',
    'ai.openai_embed(''m'', ''text'', dimensions => 3, api_key_name => ''OPENAI_API_KEY'')',
    'ai.openai_embed(''m'', ''text'', dimensions => 3, api_key_name => ''HOME'')',
    'ai.openai_embed(''m'', ''text'', dimensions => 3, client_config => ''{"base_url": "http://127.0.0.1:1"}'')',
    'ai.openai_embed(''m'', ''text'', dimensions => 3, api_key => ''own'', client_config => ''{"base_url": "http://127.0.0.1:1"}'')',
    'ai.openai_embed(''m'', ARRAY[''text''], dimensions => 3, api_key_name => ''HOME'')',
    'ai.ollama_embed(''m'', ''text'', host => ''http://127.0.0.1:1'')',
    'ai.voyageai_embed(''m'', ''text'')',
    'ai.voyageai_embed(''m'', ''text'', api_key_name => ''OPENAI_API_KEY'')',
    'ai.vectorizer_embed(ai.embedding_openai(''m'', 3), ''text'')',
    'ai.vectorizer_embed(ai.embedding_ollama(''m'', 3, base_url => ''http://127.0.0.1:1''), ''text'')',
    'ai.vectorizer_embed(ai.embedding_voyageai(''m'', 3), ''text'')',
    'ai.vectorizer_embed(ai.embedding_voyageai(''m'', 3, api_key_name => ''HOME''), ''text'')',
    'ai.vectorizer_embed(ai.embedding_litellm(''cohere/m'', 3), ''text'')',
    'ai.vectorizer_embed(ai.embedding_litellm(''cohere/m'', 3, ''HOME''), ''text'')',
    'ai.vectorizer_embed(ai.embedding_litellm(''cohere/m'', 3, NULL, ''{"api_base": "http://127.0.0.1:1"}''), ''text'')',
    'ai.vectorizer_embed(ai.embedding_litellm(''azure/m'', 3), ''text'')',
    'ai.vectorizer_embed(ai.embedding_openai(''m'', 3, base_url => ''http://127.0.0.1:1''), ''text'')',
    'ai.vectorizer_embed(ai.embedding_openai(''m'', 3, api_key_name => ''HOME''), ''text'')',
    'ai.vectorizer_embed(''doc'', ''text'')']);
RESET ROLE;

-- A superuser does, and is heard.
SELECT error ~ 'no answer from 127.0.0.1:1: ' AS heard
FROM pg_temp.attempts(ARRAY['ai.ollama_embed(''m'', ''text'', host => ''http://127.0.0.1:1'')', 'ai.vectorizer_embed(ai.embedding_ollama(''m'', 3, base_url => ''127.0.0.1:1''), ''text'')']);

-- What there is not, and what makes no sense.
SELECT * FROM pg_temp.attempts(ARRAY[
    'ai.vectorizer_embed(''nothing'', ''text'')',
    'ai.vectorizer_embed(-1, ''text'')',
    'ai.vectorizer_embed(''{}''::jsonb, ''text'')',
    'ai.vectorizer_embed(''[]''::jsonb, ''text'')',
    'ai.vectorizer_embed(ai.parsing_none(), ''text'')',
    'ai.vectorizer_embed(''{"config_type": "embedding", "implementation": "abacus"}''::jsonb, ''text'')',
    'ai.vectorizer_embed(''{"config_type": "embedding", "implementation": "openai"}''::jsonb, ''text'')',
    'ai.vectorizer_embed(ai.embedding_openai(''m'', 0), ''text'')',
    'ai.vectorizer_embed(ai.embedding_voyageai(''m'', 3), ''text'', ''telegram'')',
    'ai.openai_embed(NULL, ''text'')',
    'ai.ollama_embed(NULL, ''text'')',
    'ai.ollama_embed(''m'', ''text'', embedding_options => ''[]'')',
    'ai.voyageai_embed(NULL, ''text'')',
    'ai.openai_embed(''m'', ''text'')',
    'ai.openai_embed(''text-embedding-ada-002'', ''text'', api_key => ''k'', dimensions => 3)',
    'ai.openai_embed(''m'', ''text'', dimensions => 0, api_key => ''k'')',
    'ai.openai_embed(''m'', ''text'', dimensions => 3, api_key => E''canary\n'')',
    'ai.openai_embed(''m'', ''text'', dimensions => 3, api_key => ''canary'', client_config => ''{"base_url": "http://user:canary@127.0.0.1:1"}'')',
    'ai.openai_embed(''m'', '''', dimensions => 3, api_key => ''k'')',
    'ai.openai_embed(''m'', ARRAY[''text'', NULL], dimensions => 3)',
    'ai.openai_embed(''m'', ''text'', dimensions => 3, extra_headers => ''{}'')',
    'ai.openai_embed(''m'', ''text'', dimensions => 3, extra_query => ''{}'')',
    'ai.openai_embed(''m'', ''text'', dimensions => 3, extra_body => ''{}'')',
    'ai.openai_embed(''m'', ''text'', dimensions => 3, client_config => ''{"timeout": 3}'')',
    'ai.openai_embed(''m'', ''text'', dimensions => 3, client_config => ''[]'')']);

-- NULL is no text.
SELECT ai.openai_embed('m', NULL::text, dimensions => 3), ai.vectorizer_embed('doc', NULL), ai.vectorizer_embed(NULL::jsonb, 'text'),
       ai.vectorizer_embed(NULL::int, 'text'), ai.vectorizer_embed(NULL::text, 'text');
SELECT * FROM ai.openai_embed('m', NULL::text[], dimensions => 3);
SELECT * FROM ai.openai_embed('m', '{}'::text[], dimensions => 3);
ROLLBACK;
