-- ai.embedding_ollama, ai.embedding_voyageai and ai.embedding_litellm: the JSON that they build, and what is refused.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
SELECT ai.embedding_ollama('nomic-embed-text', 768);
SELECT ai.embedding_ollama('m', 3, 'http://localhost:11434', '{"num_ctx": 8192, "seed": null}', '5m');
SELECT ai.embedding_voyageai('voyage-3.5', 1024);
SELECT ai.embedding_voyageai('m', 3, NULL, 'OTHER_KEY');
SELECT ai.embedding_voyageai('m', 3, 'query', output_dimension => 3, output_dtype => 'float');
SELECT pg_temp.error_of('SELECT ai.embedding_voyageai(''m'', 3, ''telegram'')');
SELECT ai.embedding_litellm('cohere/embed-v4.0', 1536);
SELECT ai.embedding_litellm('azure/m', 3, 'AZURE_KEY', '{"api_base": "https://x.openai.azure.com", "api_version": null}');

BEGIN;
CREATE TABLE doc (id int PRIMARY KEY, body text);
CREATE FUNCTION pg_temp.with_embedding(embedding jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format(
        'SELECT ai.create_vectorizer(''doc'', loading => ai.loading_column(''body''), embedding => %L)', embedding))
$$;
SELECT pg_temp.with_embedding(ai.embedding_ollama('nomic-embed-text', 768));
SELECT pg_temp.with_embedding(ai.embedding_voyageai('voyage-3.5', 1024));
SELECT pg_temp.with_embedding(ai.embedding_litellm('mistral/mistral-embed', 1024));
SELECT pg_temp.with_embedding(ai.embedding_ollama('m', 0));
SELECT pg_temp.with_embedding(ai.embedding_ollama(NULL, 3));
SELECT pg_temp.with_embedding(ai.embedding_ollama('m', 3, options => '[1]'));
SELECT pg_temp.with_embedding(ai.embedding_voyageai('m', 3) || '{"input_type": "telegram"}');
SELECT pg_temp.with_embedding(ai.embedding_voyageai('m', 3, output_dimension => 4));
SELECT pg_temp.with_embedding(ai.embedding_voyageai('m', 3, output_dtype => 'int8'));
SELECT pg_temp.with_embedding(ai.embedding_voyageai('m', 3, api_key_name => NULL));
SELECT pg_temp.with_embedding(ai.embedding_litellm('bedrock/amazon.titan-embed-text-v2:0', 1024));
SELECT pg_temp.with_embedding(ai.embedding_litellm('vertex_ai/text-embedding-005', 768));
SELECT pg_temp.with_embedding(ai.embedding_litellm('no-such-model', 3));
SELECT pg_temp.with_embedding(ai.embedding_litellm('cohere/m', 3, NULL, '{"api_key": "canary"}'));
SELECT pg_temp.with_embedding(ai.embedding_litellm('cohere/m', 3, NULL, '{"timeout": 3}'));
SELECT pg_temp.with_embedding(ai.embedding_litellm('cohere/m', 3, NULL, '{"api_base": "ftp://x"}'));
SELECT pg_temp.with_embedding(ai.embedding_litellm('cohere/m', 3, NULL, '[]'));

-- Where the credentials of the server go is for an administrator to say.
CREATE ROLE regress_author;
GRANT USAGE ON FOREIGN SERVER ai_openai, ai_ollama, ai_voyageai, ai_cohere TO regress_author;
ALTER TABLE doc OWNER TO regress_author;
GRANT CREATE ON SCHEMA public TO regress_author;
SET LOCAL ROLE regress_author;
SELECT pg_temp.with_embedding(ai.embedding_ollama('m', 3));
SELECT pg_temp.with_embedding(ai.embedding_ollama('m', 3, 'http://localhost:1'));
SELECT pg_temp.with_embedding(ai.embedding_voyageai('m', 3));
SELECT pg_temp.with_embedding(ai.embedding_voyageai('m', 3, api_key_name => 'OPENAI_API_KEY'));
SELECT pg_temp.with_embedding(ai.embedding_litellm('cohere/m', 3));
SELECT pg_temp.with_embedding(ai.embedding_litellm('cohere/m', 3, 'COHERE_API_KEY'));
SELECT pg_temp.with_embedding(ai.embedding_litellm('cohere/m', 3, 'OPENAI_API_KEY'));
SELECT pg_temp.with_embedding(ai.embedding_litellm('cohere/m', 3, NULL, '{"base_url": "http://localhost:1"}'));
RESET ROLE;

-- The key that is missing is named, and Ollama misses none.
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
SELECT ai.create_vectorizer('doc', name => 'ollama', destination => ai.destination_table('o'), loading => ai.loading_column('body'), embedding => ai.embedding_ollama('m', 3));
SELECT ai.create_vectorizer('doc', name => 'voyage', destination => ai.destination_table('v'), loading => ai.loading_column('body'), embedding => ai.embedding_voyageai('m', 3));
SELECT ai.create_vectorizer('doc', name => 'cohere', destination => ai.destination_table('c'), loading => ai.loading_column('body'), embedding => ai.embedding_litellm('cohere/m', 3));
SELECT v.id, k.name AS _missing_key FROM ai.vectorizer v LEFT JOIN ai._missing_keys() k USING (id) WHERE v.id > 100 ORDER BY v.id;
ROLLBACK;
