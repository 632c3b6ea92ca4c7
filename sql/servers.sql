-- Who is asked and where documents come from, as foreign servers: Postgres knows how to grant, show, dump and revoke them.
-- The default ones have no options: they read the environment of the server, and pg_dump would not keep any.

CREATE FUNCTION ai._provider_options(options text[], catalogue oid) RETURNS void
LANGUAGE c VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'provider_options_wrapper';
COMMENT ON FUNCTION ai._provider_options(text[], oid) IS 'Checks the options of servers and user mappings of ai_provider.';

CREATE FUNCTION ai._source_options(options text[], catalogue oid) RETURNS void
LANGUAGE c VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'source_options_wrapper';
COMMENT ON FUNCTION ai._source_options(text[], oid) IS 'Checks the options of servers and user mappings of ai_source.';

CREATE FUNCTION ai._check_server(wrapper text, type text, options text[]) RETURNS void
LANGUAGE c VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'check_server_wrapper';
COMMENT ON FUNCTION ai._check_server(text, text, text[]) IS
    'Checks the type of a server, and whether its options are for servers of this type.';

CREATE FUNCTION ai._servers_changed(classes oid[], objects oid[]) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'servers_changed_wrapper';
COMMENT ON FUNCTION ai._servers_changed(oid[], oid[]) IS
    'Makes the worker look at these foreign servers, and those of these user mappings, again when the transaction commits.';

REVOKE EXECUTE ON FUNCTION
    ai._provider_options(text[], oid), ai._source_options(text[], oid), ai._check_server(text, text, text[]),
    ai._servers_changed(oid[], oid[])
FROM PUBLIC;

CREATE FOREIGN DATA WRAPPER ai_provider VALIDATOR ai._provider_options;
COMMENT ON FOREIGN DATA WRAPPER ai_provider IS
    'Servers that turn text into vectors, of the types openai, ollama, voyageai, azure, cohere, mistral and huggingface.';
CREATE FOREIGN DATA WRAPPER ai_source VALIDATOR ai._source_options;
COMMENT ON FOREIGN DATA WRAPPER ai_source IS 'Places where documents are, of the types s3, http and file.';

CREATE SERVER ai_openai TYPE 'openai' FOREIGN DATA WRAPPER ai_provider;
COMMENT ON SERVER ai_openai IS
    'OpenAI: OPENAI_API_KEY and, where it is set, OPENAI_BASE_URL of the server''s environment. Also for models of ai.embedding_litellm that begin with openai/.';
CREATE SERVER ai_ollama TYPE 'ollama' FOREIGN DATA WRAPPER ai_provider;
COMMENT ON SERVER ai_ollama IS 'Ollama: OLLAMA_HOST of the server''s environment, or this machine.';
CREATE SERVER ai_voyageai TYPE 'voyageai' FOREIGN DATA WRAPPER ai_provider;
COMMENT ON SERVER ai_voyageai IS
    'Voyage AI: VOYAGE_API_KEY of the server''s environment. Also for models of ai.embedding_litellm that begin with voyage/.';
CREATE SERVER ai_azure TYPE 'azure' FOREIGN DATA WRAPPER ai_provider;
COMMENT ON SERVER ai_azure IS
    'Azure OpenAI, for models of ai.embedding_litellm that begin with azure/: AZURE_API_BASE and AZURE_API_KEY of the server''s environment.';
CREATE SERVER ai_cohere TYPE 'cohere' FOREIGN DATA WRAPPER ai_provider;
COMMENT ON SERVER ai_cohere IS
    'Cohere, for models of ai.embedding_litellm that begin with cohere/: COHERE_API_KEY of the server''s environment.';
CREATE SERVER ai_mistral TYPE 'mistral' FOREIGN DATA WRAPPER ai_provider;
COMMENT ON SERVER ai_mistral IS
    'Mistral, for models of ai.embedding_litellm that begin with mistral/: MISTRAL_API_KEY of the server''s environment.';
CREATE SERVER ai_huggingface TYPE 'huggingface' FOREIGN DATA WRAPPER ai_provider;
COMMENT ON SERVER ai_huggingface IS
    'Hugging Face, for models of ai.embedding_litellm that begin with huggingface/: HUGGINGFACE_API_KEY of the server''s environment.';

CREATE SERVER ai_s3 TYPE 's3' FOREIGN DATA WRAPPER ai_source;
COMMENT ON SERVER ai_s3 IS 's3:// documents, with the AWS credentials that the server finds in its environment.';
CREATE SERVER ai_http TYPE 'http' FOREIGN DATA WRAPPER ai_source;
COMMENT ON SERVER ai_http IS 'Documents on the web, where ai.allow_http opens it.';
CREATE SERVER ai_file TYPE 'file' FOREIGN DATA WRAPPER ai_source;
COMMENT ON SERVER ai_file IS 'Files of the server, below the directories of ai.file_directories.';
