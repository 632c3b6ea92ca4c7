-- ai.formatting_python_template: the JSON that it builds, and templates that cannot be filled in.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
SELECT ai.formatting_python_template();
SELECT ai.formatting_python_template(E'$title ($$5)\n${chunk}');
SELECT ai.formatting_python_template(NULL);

BEGIN;
CREATE TABLE doc (id int PRIMARY KEY, body text, title text);
CREATE FUNCTION pg_temp.with_formatting(formatting jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format(
        'SELECT ai.create_vectorizer(''doc'', loading => ai.loading_column(''body''),
             embedding => ai.embedding_openai(''m'', 3), formatting => %L)', formatting))
$$;
SELECT pg_temp.with_formatting('[]');
SELECT pg_temp.with_formatting(NULL);
SELECT pg_temp.with_formatting('{}');
SELECT pg_temp.with_formatting('{"config_type": "formatting"}');
SELECT pg_temp.with_formatting('{"config_type": "formatting", "implementation": "chunk_value"}');
SELECT pg_temp.with_formatting(ai.formatting_python_template(NULL));
SELECT pg_temp.with_formatting(ai.formatting_python_template('no place for it'));
SELECT pg_temp.with_formatting(ai.formatting_python_template('$title'));
-- pgai's worker met these, for ever.
SELECT pg_temp.with_formatting(ai.formatting_python_template('$chunk $author'));
SELECT pg_temp.with_formatting(ai.formatting_python_template('$chunky'));
SELECT pg_temp.with_formatting(ai.formatting_python_template('$chunk for $ 5'));
-- Good ones.
SELECT pg_temp.with_formatting(ai.formatting_python_template('$title $body $id: $chunk'));
SELECT pg_temp.with_formatting(ai.formatting_python_template('${title}s cost $$5: $chunk'));
SELECT pg_temp.with_formatting(ai.formatting_python_template('${chunk}'));

ALTER TABLE doc RENAME title TO chunk;
SELECT pg_temp.with_formatting(ai.formatting_python_template());
ROLLBACK;
