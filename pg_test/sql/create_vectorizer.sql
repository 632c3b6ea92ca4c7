-- What ai.create_vectorizer makes: the row in the catalogue, destination, queue and triggers.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE SCHEMA website;
CREATE TABLE website.blog (
    id int NOT NULL GENERATED ALWAYS AS IDENTITY,
    title text NOT NULL,
    published timestamptz,
    body text NOT NULL,
    drop_me text,
    PRIMARY KEY (title, published)
);
ALTER TABLE website.blog DROP COLUMN drop_me;
INSERT INTO website.blog (title, published, body)
VALUES ('how to cook a hot dog', '2024-01-06', 'put it on a hot grill'), ('how to make a sandwich', '2023-01-06', 'put a slice of meat between two pieces of bread');
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
SELECT ai.create_vectorizer(
    'website.blog'::regclass,
    loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('text-embedding-3-small', 768),
    chunking => ai.chunking_character_text_splitter(128, 10),
    scheduling => ai.scheduling_none(),
    processing => ai.processing_default()
);

\x on
SELECT * FROM pg_temp.columns_of('ai.vectorizer') \g (expanded=off)
SELECT id, source_schema, source_table, jsonb_pretty(source_pk) AS source_pk, trigger_name, queue_schema, queue_table, disabled,
       queue_failed_table, name
FROM ai.vectorizer WHERE id = 101;
\x off
\pset format unaligned
SELECT jsonb_pretty(config || jsonb '{"version": "masked"}') AS config,
       config ->> 'version' = (SELECT extversion FROM pg_extension WHERE extname = 'ai') AS version_is_ours
FROM ai.vectorizer WHERE id = 101;
\pset format aligned

-- The destination.
SELECT * FROM pg_temp.columns_of('website.blog_embedding_store');
SELECT * FROM pg_temp.constraints_of('website.blog_embedding_store');
-- As it suits vectors of 768 dimensions: docs/design.md.
SELECT a.attstorage, c.reloptions FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE a.attrelid = 'website.blog_embedding_store'::regclass AND a.attname = 'embedding';
SELECT "column", type FROM pg_temp.columns_of('website.blog_embedding');
SELECT pg_get_viewdef('website.blog_embedding'::regclass, true);

-- The queue holds every row that was there already; the failed queue is empty.
SELECT * FROM pg_temp.columns_of('ai._vectorizer_q_101');
SELECT * FROM pg_temp.constraints_of('ai._vectorizer_q_101');
SELECT title, published, queued_at IS NOT NULL AS queued_at, loading_retries, loading_retry_after, version, backfill, attempts, crashes, lease
FROM ai._vectorizer_q_101 ORDER BY title;
SELECT * FROM pg_temp.columns_of('ai._vectorizer_q_failed_101');
SELECT * FROM pg_temp.constraints_of('ai._vectorizer_q_failed_101');
SELECT count(*) FROM ai._vectorizer_q_failed_101;

-- The triggers, and the function that they call.
SELECT tgname, regexp_replace(pg_get_triggerdef(oid), '^.* (AFTER .*)$', '\1') AS definition
FROM pg_trigger WHERE tgrelid = 'website.blog'::regclass AND NOT tgisinternal ORDER BY tgname;
SELECT prosecdef, proconfig, proacl IS NOT NULL AND NOT has_function_privilege('public', oid, 'EXECUTE') AS closed
FROM pg_proc WHERE oid = 'ai._vectorizer_src_trg_101()'::regprocedure;

-- All of it belongs to the owner of the source.
SELECT DISTINCT relowner = (SELECT relowner FROM pg_class WHERE oid = 'website.blog'::regclass) AS of_the_owner
FROM pg_class
WHERE oid IN ('website.blog_embedding_store'::regclass, 'website.blog_embedding'::regclass, 'ai._vectorizer_q_101'::regclass, 'ai._vectorizer_q_failed_101'::regclass);

-- The view shows each chunk with its row, and keeps a chunk whose row is gone.
INSERT INTO website.blog_embedding_store (title, published, chunk_seq, chunk, embedding)
SELECT title, published, 0, body, array_fill(0.5, ARRAY[768])::vector FROM website.blog;
SELECT chunk_seq, chunk, title, published, body, vector_dims(embedding), embedding_uuid IS NOT NULL AS has_uuid
FROM website.blog_embedding ORDER BY title;
ROLLBACK;
