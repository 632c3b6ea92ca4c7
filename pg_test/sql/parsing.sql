-- ai.parsing_*: the JSON that they build, and which go with which column.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
SELECT ai.parsing_auto();
SELECT ai.parsing_none();
SELECT ai.parsing_pymupdf();
SELECT ai.parsing_docling();

BEGIN;
CREATE TABLE doc (id int PRIMARY KEY, body text, bytes bytea);
CREATE FUNCTION pg_temp.with_parsing(parsing jsonb, loading jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format(
        'SELECT ai.create_vectorizer(''doc'', loading => %L, parsing => %L, embedding => ai.embedding_openai(''m'', 3))',
        loading, parsing))
$$;
SELECT pg_temp.with_parsing('1', ai.loading_column('body'));
SELECT pg_temp.with_parsing(NULL, ai.loading_column('body'));
SELECT pg_temp.with_parsing('{}', ai.loading_column('body'));
SELECT pg_temp.with_parsing(ai.chunking_none(), ai.loading_column('body'));
-- pgai took this one.
SELECT pg_temp.with_parsing('{"config_type": "parsing"}', ai.loading_column('body'));
SELECT pg_temp.with_parsing('{"config_type": "parsing", "implementation": "tea leaves"}', ai.loading_column('body'));
SELECT p ->> 'implementation' AS parsing, l ->> 'implementation' AS loading, l ->> 'column_name' AS "column",
       pg_temp.with_parsing(p, l)
FROM unnest(ARRAY[ai.loading_column('body'), ai.loading_column('bytes'), ai.loading_uri('body')])
         WITH ORDINALITY AS l (l, l_number),
     unnest(ARRAY[ai.parsing_auto(), ai.parsing_none(), ai.parsing_pymupdf(), ai.parsing_docling()])
         WITH ORDINALITY AS p (p, p_number)
ORDER BY l_number, p_number;
ROLLBACK;
