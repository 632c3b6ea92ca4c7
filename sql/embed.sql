-- What a session asks for itself: chunks of a text, and vectors for the query side of a search.

-- The type vector is wherever pgvector was put. Nobody can have another one there.
SELECT pg_catalog.set_config('search_path', pg_catalog.format('pg_catalog, %I, pg_temp', n.nspname), true)
FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
WHERE e.extname OPERATOR(pg_catalog.=) 'vector'::pg_catalog.name;

-- IMMUTABLE, where pgai's are VOLATILE: the same text is always cut in the same places.
CREATE FUNCTION ai.chunk_text(
    input text, chunk_size int DEFAULT NULL, chunk_overlap int DEFAULT NULL, separator text DEFAULT NULL,
    is_separator_regex bool DEFAULT false) RETURNS TABLE (seq bigint, chunk text)
LANGUAGE c IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'chunk_text_wrapper';
COMMENT ON FUNCTION ai.chunk_text(text, int, int, text, bool) IS
    'Cuts a text at one separator, as LangChain''s CharacterTextSplitter does; sizes in characters, 4000 and 200 when NULL.';

CREATE FUNCTION ai.chunk_text_recursively(
    input text, chunk_size int DEFAULT NULL, chunk_overlap int DEFAULT NULL, separators text[] DEFAULT NULL,
    is_separator_regex bool DEFAULT false) RETURNS TABLE (seq bigint, chunk text)
LANGUAGE c IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'chunk_text_recursively_wrapper';
COMMENT ON FUNCTION ai.chunk_text_recursively(text, int, int, text[], bool) IS
    'Cuts a text at the first of several separators that occurs, as LangChain''s RecursiveCharacterTextSplitter does; sizes in characters, 4000 and 200 when NULL.';

-- VOLATILE, where pgai's are IMMUTABLE or STABLE: they reach the network. RESTRICTED, because what they are connected
-- with is the session's, not a parallel worker's. A key that is passed as an argument may be logged with the statement.
CREATE FUNCTION ai.openai_embed(
    model text, input_text text, api_key text DEFAULT NULL, api_key_name text DEFAULT NULL, dimensions int DEFAULT NULL,
    openai_user text DEFAULT NULL, extra_headers jsonb DEFAULT NULL, extra_query jsonb DEFAULT NULL,
    extra_body jsonb DEFAULT NULL, verbose boolean DEFAULT false, client_config jsonb DEFAULT NULL) RETURNS vector
LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'openai_embed_wrapper';
COMMENT ON FUNCTION ai.openai_embed(text, text, text, text, int, text, jsonb, jsonb, jsonb, boolean, jsonb) IS
    'The vector of a text, by OpenAI or a server that speaks its API. In a search, write (SELECT ai.openai_embed(...)), so that it is asked once and an index can be used.';

CREATE FUNCTION ai.openai_embed(
    model text, input_texts text[], api_key text DEFAULT NULL, api_key_name text DEFAULT NULL,
    dimensions int DEFAULT NULL, openai_user text DEFAULT NULL, extra_headers jsonb DEFAULT NULL,
    extra_query jsonb DEFAULT NULL, extra_body jsonb DEFAULT NULL, verbose boolean DEFAULT false,
    client_config jsonb DEFAULT NULL) RETURNS TABLE (index int, embedding vector)
LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'openai_embed_array_wrapper';
COMMENT ON FUNCTION ai.openai_embed(text, text[], text, text, int, text, jsonb, jsonb, jsonb, boolean, jsonb) IS
    'The vectors of texts, by OpenAI or a server that speaks its API; index counts from 0.';

-- Their text is what is sent: of tokens that came of a text, the provider makes the same again.
CREATE FUNCTION ai.openai_embed(
    model text, input_tokens int[], api_key text DEFAULT NULL, api_key_name text DEFAULT NULL,
    dimensions int DEFAULT NULL, openai_user text DEFAULT NULL, extra_headers jsonb DEFAULT NULL,
    extra_query jsonb DEFAULT NULL, extra_body jsonb DEFAULT NULL, verbose boolean DEFAULT false,
    client_config jsonb DEFAULT NULL) RETURNS vector
LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'openai_embed_tokens_wrapper';
COMMENT ON FUNCTION ai.openai_embed(text, int[], text, text, int, text, jsonb, jsonb, jsonb, boolean, jsonb) IS
    'The vector of the text of these tokens, by one of OpenAI''s embedding models (cl100k_base).';

CREATE FUNCTION ai.ollama_embed(
    model text, input_text text, host text DEFAULT NULL, keep_alive text DEFAULT NULL, embedding_options jsonb DEFAULT NULL,
    verbose boolean DEFAULT false) RETURNS vector
LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'ollama_embed_wrapper';
COMMENT ON FUNCTION ai.ollama_embed(text, text, text, text, jsonb, boolean) IS
    'The vector of a text, by a model of an Ollama server. In a search, write (SELECT ai.ollama_embed(...)), so that it is asked once and an index can be used.';

CREATE FUNCTION ai.openai_client_config(
    base_url text DEFAULT NULL, timeout_seconds float8 DEFAULT NULL, organization text DEFAULT NULL,
    project text DEFAULT NULL, max_retries int DEFAULT NULL, default_headers jsonb DEFAULT NULL,
    default_query jsonb DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'base_url', base_url, 'timeout', timeout_seconds, 'organization', organization, 'project', project,
        'max_retries', max_retries, 'default_headers', default_headers, 'default_query', default_query))
$$;
COMMENT ON FUNCTION ai.openai_client_config(text, float8, text, text, int, jsonb, jsonb) IS
    'What ai.openai_embed takes as client_config. base_url, organization, project and default_headers count; the others are refused there.';

CREATE FUNCTION ai.voyageai_embed(
    model text, input_text text, input_type text DEFAULT NULL, api_key text DEFAULT NULL, api_key_name text DEFAULT NULL,
    verbose boolean DEFAULT false, output_dimension int DEFAULT NULL, output_dtype text DEFAULT NULL) RETURNS vector
LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'voyageai_embed_of_length_wrapper';
COMMENT ON FUNCTION ai.voyageai_embed(text, text, text, text, text, boolean, int, text) IS
    'The vector of a text, by Voyage AI; output_dimension is what a model of several lengths is asked for. In a search, write (SELECT ai.voyageai_embed(...)), so that it is asked once and an index can be used.';

CREATE FUNCTION ai.voyageai_embed(
    model text, input_texts text[], input_type text DEFAULT NULL, api_key text DEFAULT NULL,
    api_key_name text DEFAULT NULL, verbose boolean DEFAULT false, output_dimension int DEFAULT NULL,
    output_dtype text DEFAULT NULL) RETURNS TABLE (index int, embedding vector)
LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'voyageai_embed_array_of_length_wrapper';
COMMENT ON FUNCTION ai.voyageai_embed(text, text[], text, text, text, boolean, int, text) IS
    'The vectors of texts, by Voyage AI; index counts from 0.';

CREATE FUNCTION ai.vectorizer_embed(embedding_config jsonb, input_text text, input_type text DEFAULT NULL) RETURNS vector
LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'vectorizer_embed_by_config_wrapper';
COMMENT ON FUNCTION ai.vectorizer_embed(jsonb, text, text) IS
    'The vector of a text by an embedding configuration, as ai.embedding_openai() and the like make it.';

CREATE FUNCTION ai.vectorizer_embed(vectorizer_id int4, input_text text, input_type text DEFAULT NULL) RETURNS vector
LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'vectorizer_embed_wrapper';
COMMENT ON FUNCTION ai.vectorizer_embed(int4, text, text) IS
    'The vector of a query as this vectorizer embeds, for who may SELECT from its destination. In a search, write (SELECT ai.vectorizer_embed(...)), so that it is asked once and an index can be used.';

CREATE FUNCTION ai.vectorizer_embed(name text, input_text text, input_type text DEFAULT NULL) RETURNS vector
LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'vectorizer_embed_by_name_wrapper';
COMMENT ON FUNCTION ai.vectorizer_embed(text, text, text) IS
    'The vector of a query as this vectorizer embeds, for who may SELECT from its destination. In a search, write (SELECT ai.vectorizer_embed(...)), so that it is asked once and an index can be used.';

-- They spend the server's credit for any text and any model: they ask for USAGE on the foreign server, ai_openai, say. Those
-- that name a vectorizer ask for SELECT on its destination.
GRANT EXECUTE ON FUNCTION
    ai.openai_embed(text, text, text, text, int, text, jsonb, jsonb, jsonb, boolean, jsonb),
    ai.openai_embed(text, int[], text, text, int, text, jsonb, jsonb, jsonb, boolean, jsonb),
    ai.openai_embed(text, text[], text, text, int, text, jsonb, jsonb, jsonb, boolean, jsonb),
    ai.ollama_embed(text, text, text, text, jsonb, boolean),
    ai.openai_client_config(text, float8, text, text, int, jsonb, jsonb),
    ai.voyageai_embed(text, text, text, text, text, boolean, int, text),
    ai.voyageai_embed(text, text[], text, text, text, boolean, int, text),
    ai.vectorizer_embed(jsonb, text, text)
TO PUBLIC;

SET LOCAL search_path = pg_catalog, pg_temp;
