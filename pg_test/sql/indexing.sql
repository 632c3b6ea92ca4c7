-- ai.indexing_none and ai.indexing_default: the JSON that they build and what the default becomes.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
SELECT ai.indexing_none();
SELECT ai.indexing_default();

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

SELECT ai.create_vectorizer('doc', name => 'by_default', destination => ai.destination_table('a'),
    loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 3)) > 0 AS made;
SET LOCAL ai.indexing_default = 'indexing_none';
SELECT ai.create_vectorizer('doc', name => 'by_setting', destination => ai.destination_table('b'),
    loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 3)) > 0 AS made;
SELECT name, config -> 'indexing' AS indexing FROM ai.vectorizer WHERE name LIKE 'by\_%' ORDER BY name;
ROLLBACK;
