-- ai.chunking_*: the JSON that they build, and what ai.create_vectorizer says of JSON that they do not build.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
SELECT ai.chunking_character_text_splitter();
SELECT ai.chunking_character_text_splitter(128, 10, E'\n', true);
SELECT ai.chunking_character_text_splitter(chunk_overlap => 0);
SELECT ai.chunking_character_text_splitter(NULL, NULL, NULL, NULL);
SELECT ai.chunking_recursive_character_text_splitter();
SELECT ai.chunking_recursive_character_text_splitter(500, 20, ARRAY[E'\n## ', 'ä', ''], true);
SELECT ai.chunking_recursive_character_text_splitter(separators => '{}');
SELECT ai.chunking_recursive_character_text_splitter(NULL, NULL, NULL, NULL);
SELECT ai.chunking_text_splitter();
SELECT ai.chunking_text_splitter(512, 64, 'tokens', 'markdown');
SELECT ai.chunking_none();

BEGIN;
CREATE TABLE doc (id int PRIMARY KEY, body text);
CREATE FUNCTION pg_temp.with_chunking(chunking jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format(
        'SELECT ai.create_vectorizer(''doc'', loading => ai.loading_column(''body''),
             embedding => ai.embedding_openai(''m'', 3), chunking => %L)', chunking))
$$;
SELECT pg_temp.with_chunking('[]');
SELECT pg_temp.with_chunking('null');
SELECT pg_temp.with_chunking(NULL);
SELECT pg_temp.with_chunking('{}');
SELECT pg_temp.with_chunking(ai.parsing_auto());
SELECT pg_temp.with_chunking('{"config_type": "chunking"}');
SELECT pg_temp.with_chunking('{"config_type": "chunking", "implementation": "scissors"}');
-- pgai took any size, and its worker failed.
SELECT pg_temp.with_chunking(ai.chunking_character_text_splitter(-5, 900));
SELECT pg_temp.with_chunking(ai.chunking_character_text_splitter(0, 0));
SELECT pg_temp.with_chunking(ai.chunking_character_text_splitter(10, 10));
SELECT pg_temp.with_chunking(ai.chunking_character_text_splitter(10, 11));
SELECT pg_temp.with_chunking(ai.chunking_character_text_splitter(10, -1));
SELECT pg_temp.with_chunking(ai.chunking_character_text_splitter(NULL, 1));
SELECT pg_temp.with_chunking(ai.chunking_character_text_splitter(10, 1, '(', true));
SELECT pg_temp.with_chunking(ai.chunking_character_text_splitter(10, 1, '(', false));
SELECT pg_temp.with_chunking(ai.chunking_recursive_character_text_splitter(0, 0));
SELECT pg_temp.with_chunking(ai.chunking_recursive_character_text_splitter(800));
SELECT pg_temp.with_chunking(ai.chunking_recursive_character_text_splitter(400));
SELECT pg_temp.with_chunking(ai.chunking_recursive_character_text_splitter(10, 1, ARRAY['[']));
SELECT pg_temp.with_chunking(ai.chunking_recursive_character_text_splitter(10, 1, ARRAY['['], true));
SELECT pg_temp.with_chunking(ai.chunking_text_splitter(0));
SELECT pg_temp.with_chunking(ai.chunking_text_splitter(10, 10));
SELECT pg_temp.with_chunking(ai.chunking_text_splitter(unit => 'bytes'));
SELECT pg_temp.with_chunking(ai.chunking_text_splitter(format => 'html'));
SELECT pg_temp.with_chunking(ai.chunking_text_splitter(100, 10, 'tokens', 'markdown'));
SELECT pg_temp.with_chunking(ai.chunking_none());
ROLLBACK;
