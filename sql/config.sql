-- The builders of the configuration: pgai's names, parameters, defaults and JSON. What they build is checked by
-- ai.create_vectorizer, so that a hand-written document meets the same checks.

CREATE FUNCTION ai.loading_column(column_name name, retries int4 DEFAULT 6, server name DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object(
        'implementation', 'column', 'config_type', 'loading', 'column_name', column_name, 'retries', retries)
        || jsonb_strip_nulls(jsonb_build_object('server', server))
$$;
COMMENT ON FUNCTION ai.loading_column(name, int4, name) IS
    'The column itself holds the text or the bytes of the document: there is no server to name.';

CREATE FUNCTION ai.loading_uri(
    column_name name, retries int4 DEFAULT 6, aws_role_arn text DEFAULT NULL, server name DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'uri', 'config_type', 'loading', 'column_name', column_name, 'retries', retries,
        'aws_role_arn', aws_role_arn, 'server', server))
$$;
COMMENT ON FUNCTION ai.loading_uri(name, int4, text, name) IS
    'The column holds a URI (s3://, and http://, https://, file:// where an administrator opened them); s3:// documents are read as aws_role_arn where it is given. server names a foreign server of ai_source; without it these are ai_s3, ai_http and ai_file.';

CREATE FUNCTION ai.parsing_auto() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('implementation', 'auto', 'config_type', 'parsing')
$$;
COMMENT ON FUNCTION ai.parsing_auto() IS 'Bytes become text by the type of the document.';

CREATE FUNCTION ai.parsing_none() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('implementation', 'none', 'config_type', 'parsing')
$$;
COMMENT ON FUNCTION ai.parsing_none() IS 'The document is text already, whatever its type.';

CREATE FUNCTION ai.parsing_pymupdf() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('implementation', 'pymupdf', 'config_type', 'parsing')
$$;
COMMENT ON FUNCTION ai.parsing_pymupdf() IS 'A name from pgai: the same as ai.parsing_auto().';

CREATE FUNCTION ai.parsing_docling() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('implementation', 'docling', 'config_type', 'parsing')
$$;
COMMENT ON FUNCTION ai.parsing_docling() IS 'A name from pgai: the same as ai.parsing_auto().';

CREATE FUNCTION ai.chunking_character_text_splitter(
    chunk_size int4 DEFAULT 800, chunk_overlap int4 DEFAULT 400, separator text DEFAULT E'\n\n',
    is_separator_regex bool DEFAULT false) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'character_text_splitter', 'config_type', 'chunking', 'chunk_size', chunk_size,
        'chunk_overlap', chunk_overlap, 'separator', separator, 'is_separator_regex', is_separator_regex))
$$;
COMMENT ON FUNCTION ai.chunking_character_text_splitter(int4, int4, text, bool) IS
    'Cuts at one separator, as LangChain''s CharacterTextSplitter does; sizes in characters.';

CREATE FUNCTION ai.chunking_recursive_character_text_splitter(
    chunk_size int4 DEFAULT 800, chunk_overlap int4 DEFAULT 400,
    separators text[] DEFAULT ARRAY[E'\n\n', E'\n', '.', '?', '!', ' ', ''],
    is_separator_regex bool DEFAULT false) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'recursive_character_text_splitter', 'config_type', 'chunking', 'chunk_size', chunk_size,
        'chunk_overlap', chunk_overlap, 'separators', separators, 'is_separator_regex', is_separator_regex))
$$;
COMMENT ON FUNCTION ai.chunking_recursive_character_text_splitter(int4, int4, text[], bool) IS
    'Cuts at the first of several separators that occurs, as LangChain''s RecursiveCharacterTextSplitter does; sizes in characters.';

CREATE FUNCTION ai.chunking_text_splitter(
    capacity int4 DEFAULT 800, overlap int4 DEFAULT 0, unit text DEFAULT 'chars', format text DEFAULT 'text') RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'text_splitter', 'config_type', 'chunking', 'capacity', capacity, 'overlap', overlap,
        'unit', unit, 'format', format))
$$;
COMMENT ON FUNCTION ai.chunking_text_splitter(int4, int4, text, text) IS
    'Cuts at semantic boundaries (headings and blocks of Markdown, sentences, words); unit is chars or tokens, format is text or markdown.';

CREATE FUNCTION ai.chunking_none() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('implementation', 'none', 'config_type', 'chunking')
$$;
COMMENT ON FUNCTION ai.chunking_none() IS 'The whole document is one chunk.';

CREATE FUNCTION ai.embedding_openai(
    model text, dimensions int4, chat_user text DEFAULT NULL, api_key_name text DEFAULT 'OPENAI_API_KEY',
    base_url text DEFAULT NULL, server name DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'openai', 'config_type', 'embedding', 'model', model, 'dimensions', dimensions,
        'user', chat_user, 'api_key_name', api_key_name, 'base_url', base_url, 'server', server))
$$;
COMMENT ON FUNCTION ai.embedding_openai(text, int4, text, text, text, name) IS
    'OpenAI, or a server that speaks its API. api_key_name names the variable in the server''s environment that holds the key; server names a foreign server of ai_provider that says address and key instead.';

CREATE FUNCTION ai.embedding_ollama(
    model text, dimensions int4, base_url text DEFAULT NULL, options jsonb DEFAULT NULL, keep_alive text DEFAULT NULL,
    server name DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'ollama', 'config_type', 'embedding', 'model', model, 'dimensions', dimensions,
        'base_url', base_url, 'options', options, 'keep_alive', keep_alive, 'server', server))
$$;
COMMENT ON FUNCTION ai.embedding_ollama(text, int4, text, jsonb, text, name) IS
    'A model of an Ollama server: at base_url, at the OLLAMA_HOST of the server''s environment, or on the same machine.';

CREATE FUNCTION ai.embedding_voyageai(
    model text, dimensions int4, input_type text DEFAULT 'document', api_key_name text DEFAULT 'VOYAGE_API_KEY',
    output_dimension int4 DEFAULT NULL, output_dtype text DEFAULT NULL, server name DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF input_type NOT IN ('query', 'document') THEN
        RAISE EXCEPTION 'invalid input_type for voyage ai "%"', input_type;
    END IF;
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'voyageai', 'config_type', 'embedding', 'model', model, 'dimensions', dimensions,
        'input_type', input_type, 'api_key_name', api_key_name, 'output_dimension', output_dimension,
        'output_dtype', output_dtype, 'server', server));
END
$$;
COMMENT ON FUNCTION ai.embedding_voyageai(text, int4, text, text, int4, text, name) IS
    'Voyage AI. api_key_name names the variable in the server''s environment that holds the key; output_dimension is what a model of several lengths is asked for.';

CREATE FUNCTION ai.embedding_litellm(
    model text, dimensions int4, api_key_name text DEFAULT NULL, extra_options jsonb DEFAULT NULL,
    server name DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'litellm', 'config_type', 'embedding', 'model', model, 'dimensions', dimensions,
        'api_key_name', api_key_name, 'extra_options', extra_options, 'server', server))
$$;
COMMENT ON FUNCTION ai.embedding_litellm(text, int4, text, jsonb, name) IS
    'A model by its name in LiteLLM, provider/model, of the providers openai, azure, cohere, mistral, huggingface and voyage. No LiteLLM is involved.';

-- pgai has it for its semantic catalogue, and refuses it in a vectorizer; so does ai.create_vectorizer.
CREATE FUNCTION ai.embedding_sentence_transformers(
    model text DEFAULT 'nomic-ai/nomic-embed-text-v1.5', dimensions int4 DEFAULT 768,
    server name DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'sentence_transformers', 'config_type', 'embedding', 'model', model, 'dimensions', dimensions,
        'server', server))
$$;
COMMENT ON FUNCTION ai.embedding_sentence_transformers(text, int4, name) IS
    'A name from pgai, kept for its SQL; ai.create_vectorizer rejects it.';

CREATE FUNCTION ai.formatting_python_template(template text DEFAULT '$chunk') RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'python_template', 'config_type', 'formatting', 'template', template))
$$;
COMMENT ON FUNCTION ai.formatting_python_template(text) IS
    'What is embedded: a template of $chunk and the columns of the row.';

CREATE FUNCTION ai.indexing_none() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('implementation', 'none', 'config_type', 'indexing')
$$;
COMMENT ON FUNCTION ai.indexing_none() IS 'No vector index is built.';

CREATE FUNCTION ai.indexing_hnsw(
    min_rows int4 DEFAULT 100000, opclass text DEFAULT 'vector_cosine_ops', m int4 DEFAULT NULL,
    ef_construction int4 DEFAULT NULL, create_when_queue_empty bool DEFAULT true) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'hnsw', 'config_type', 'indexing', 'min_rows', min_rows, 'opclass', opclass, 'm', m,
        'ef_construction', ef_construction, 'create_when_queue_empty', create_when_queue_empty))
$$;
COMMENT ON FUNCTION ai.indexing_hnsw(int4, text, int4, int4, bool) IS
    'An HNSW index of pgvector is built once the destination has min_rows rows, without blocking writers.';

CREATE FUNCTION ai.indexing_diskann(
    min_rows int4 DEFAULT 100000, storage_layout text DEFAULT NULL, num_neighbors int4 DEFAULT NULL,
    search_list_size int4 DEFAULT NULL, max_alpha float8 DEFAULT NULL, num_dimensions int4 DEFAULT NULL,
    num_bits_per_dimension int4 DEFAULT NULL, create_when_queue_empty bool DEFAULT true) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'diskann', 'config_type', 'indexing', 'min_rows', min_rows, 'storage_layout', storage_layout,
        'num_neighbors', num_neighbors, 'search_list_size', search_list_size, 'max_alpha', max_alpha,
        'num_dimensions', num_dimensions, 'num_bits_per_dimension', num_bits_per_dimension,
        'create_when_queue_empty', create_when_queue_empty))
$$;
COMMENT ON FUNCTION ai.indexing_diskann(int4, text, int4, int4, float8, int4, int4, bool) IS
    'A DiskANN index of pgvectorscale is built once the destination has min_rows rows, without blocking writers.';

CREATE FUNCTION ai.indexing_default() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('implementation', 'default', 'config_type', 'indexing')
$$;
COMMENT ON FUNCTION ai.indexing_default() IS 'What the setting ai.indexing_default says when the vectorizer is made; none where it is empty.';

CREATE FUNCTION ai.scheduling_none() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('implementation', 'none', 'config_type', 'scheduling')
$$;
COMMENT ON FUNCTION ai.scheduling_none() IS 'The queue is left alone.';

CREATE FUNCTION ai.scheduling_default() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('implementation', 'default', 'config_type', 'scheduling')
$$;
COMMENT ON FUNCTION ai.scheduling_default() IS 'The background worker works on the queue as soon as there is something in it.';

CREATE FUNCTION ai.scheduling_timescaledb(
    schedule_interval interval DEFAULT '5m', initial_start timestamptz DEFAULT NULL,
    fixed_schedule bool DEFAULT NULL, timezone text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET IntervalStyle = postgres AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'timescaledb', 'config_type', 'scheduling', 'schedule_interval', schedule_interval,
        'initial_start', initial_start, 'fixed_schedule', fixed_schedule, 'timezone', timezone))
$$;
COMMENT ON FUNCTION ai.scheduling_timescaledb(interval, timestamptz, bool, text) IS
    'The background worker works on the queue at intervals. A name from pgai: TimescaleDB is not needed.';

CREATE FUNCTION ai.processing_default(batch_size int4 DEFAULT NULL, concurrency int4 DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'default', 'config_type', 'processing', 'batch_size', batch_size,
        'concurrency', concurrency))
$$;
COMMENT ON FUNCTION ai.processing_default(int4, int4) IS
    'Bounds the documents of the vectorizer in flight: batch_size times concurrency, with 1 for one that is missing.';

CREATE FUNCTION ai.destination_table(
    destination name DEFAULT NULL, target_schema name DEFAULT NULL, target_table name DEFAULT NULL,
    view_schema name DEFAULT NULL, view_name name DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'table', 'config_type', 'destination', 'destination', destination,
        'target_schema', target_schema, 'target_table', target_table, 'view_schema', view_schema,
        'view_name', view_name))
$$;
COMMENT ON FUNCTION ai.destination_table(name, name, name, name, name) IS
    'A table of chunks, named <destination>_store, and a view of that name that joins it with the source.';

CREATE FUNCTION ai.destination_column(embedding_column name) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'column', 'config_type', 'destination', 'embedding_column', embedding_column))
$$;
COMMENT ON FUNCTION ai.destination_column(name) IS
    'A column of the source table: one vector per row, so the chunking is none.';

-- STABLE, not IMMUTABLE: it reads a setting.
CREATE FUNCTION ai.grant_to(VARIADIC grantees name[]) RETURNS name[]
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(DISTINCT x::name), '{}'::name[])
    FROM (
        SELECT unnest(grantees)::text
        UNION ALL
        SELECT trim(string_to_table(current_setting('ai.grant_to_default', true), ','))
    ) AS roles (x)
    WHERE x <> ''
$$;
COMMENT ON FUNCTION ai.grant_to(name[]) IS 'The roles given and those of the setting ai.grant_to_default.';

CREATE FUNCTION ai.grant_to() RETURNS name[]
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ai.grant_to(VARIADIC '{}'::name[])
$$;
COMMENT ON FUNCTION ai.grant_to() IS 'The roles of the setting ai.grant_to_default.';
