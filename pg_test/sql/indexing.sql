-- ai.indexing_*: the JSON that they build, what ai.create_vectorizer says of JSON that they do not build, and what the
-- default becomes.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
SELECT ai.indexing_none();
SELECT ai.indexing_default();
SELECT ai.indexing_hnsw();
SELECT ai.indexing_hnsw(10, 'vector_ip_ops', 20, 100, false);
SELECT ai.indexing_hnsw(NULL, NULL, NULL, NULL, NULL);
SELECT ai.indexing_diskann();
SELECT ai.indexing_diskann(10, 'plain', 50, 100, 1.2, 64, 2, false);
SELECT ai.indexing_diskann(NULL, create_when_queue_empty => NULL);

BEGIN;
CREATE TABLE doc (id int PRIMARY KEY, body text);
CREATE FUNCTION pg_temp.with_indexing(indexing jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format(
        'SELECT ai.create_vectorizer(''doc'', loading => ai.loading_column(''body''),
             embedding => ai.embedding_openai(''m'', 3), indexing => %L)', indexing))
$$;
SELECT pg_temp.with_indexing('[]');
SELECT pg_temp.with_indexing(NULL);
SELECT pg_temp.with_indexing('{}');
SELECT pg_temp.with_indexing('{"config_type": "indexing"}');
SELECT pg_temp.with_indexing('{"config_type": "indexing", "implementation": "card index"}');
SELECT pg_temp.with_indexing(ai.indexing_none());
SELECT opclass, pg_temp.with_indexing(ai.indexing_hnsw(opclass => opclass))
FROM unnest(ARRAY['vector_cosine_ops', 'vector_l2_ops', 'vector_ip_ops', 'vector_l1_ops', NULL, 'halfvec_l2_ops', '']) AS opclass;
SELECT m, ef, pg_temp.with_indexing(ai.indexing_hnsw(m => m, ef_construction => ef))
FROM (VALUES (2, 4), (100, 1000), (1, NULL), (101, NULL), (NULL, 3), (NULL, 1001), (16, 31), (33, NULL)) AS bounds (m, ef);
SELECT pg_temp.with_indexing(ai.indexing_hnsw() || '{"min_rows": "many"}');
SELECT pg_temp.with_indexing(ai.indexing_hnsw() || '{"create_when_queue_empty": 1}');
SELECT pg_temp.with_indexing(ai.indexing_diskann(storage_layout => 'scattered'));
SELECT pg_temp.with_indexing(ai.indexing_diskann(num_neighbors => -1));
-- pgvectorscale is not installed.
SELECT pg_temp.with_indexing(ai.indexing_diskann());
-- Nobody would build it.
SELECT pg_temp.error_of($$SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'), indexing => ai.indexing_hnsw(),
    embedding => ai.embedding_openai('m', 3), scheduling => ai.scheduling_none())$$);
-- pgvector takes no more.
SELECT pg_temp.error_of($$SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'), indexing => ai.indexing_hnsw(),
    embedding => ai.embedding_openai('m', 2001))$$);
-- A column of a partitioned table cannot be indexed without blocking its writers; a table of its own can.
CREATE TABLE parts (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
SELECT pg_temp.error_of($$SELECT ai.create_vectorizer('parts', loading => ai.loading_column('body'), indexing => ai.indexing_hnsw(),
    embedding => ai.embedding_openai('m', 3), chunking => ai.chunking_none(), destination => ai.destination_column('v'))$$);

SELECT ai.create_vectorizer('doc', name => 'by_default', destination => ai.destination_table('a'),
    loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 3)) > 0 AS made;
SET LOCAL ai.indexing_default = 'indexing_none';
SELECT ai.create_vectorizer('doc', name => 'by_setting', destination => ai.destination_table('b'),
    loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 3)) > 0 AS made;
SET LOCAL ai.indexing_default = 'indexing_hnsw';
SELECT ai.create_vectorizer('doc', name => 'by_setting_hnsw', destination => ai.destination_table('c'),
    loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 3)) > 0 AS made;
SET LOCAL ai.indexing_default = 'indexing_diskann';
SELECT pg_temp.with_indexing(ai.indexing_default());
SET LOCAL ai.indexing_default = 'card index';
SELECT pg_temp.with_indexing(ai.indexing_default());
SELECT name, config -> 'indexing' AS indexing FROM ai.vectorizer WHERE name LIKE 'by\_%' ORDER BY name;

-- ai.set_scheduling checks and stores the index of a vectorizer that there is.
SELECT ai.set_scheduling(id, indexing => ai.indexing_hnsw(7)) -> 'indexing' AS indexing
FROM ai.vectorizer WHERE name = 'by_default';
SELECT pg_temp.error_of(format('SELECT ai.set_scheduling(%s, indexing => ai.indexing_hnsw(m => 1))', id))
FROM ai.vectorizer WHERE name = 'by_default';
SELECT ai.create_vectorizer('doc', name => 'by_width', destination => ai.destination_table('d'), indexing => ai.indexing_none(),
    loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2001)) > 0 AS made;
SELECT pg_temp.error_of(format('SELECT ai.set_scheduling(%s, indexing => ai.indexing_hnsw())', id))
FROM ai.vectorizer WHERE name = 'by_width';
ROLLBACK;
