-- Names of vectorizers: their pattern, if_not_exists.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE TABLE doc (id int PRIMARY KEY, body text);
INSERT INTO doc VALUES (1, 'one');
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
CREATE FUNCTION pg_temp.named(name text, destination text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format(
        'SELECT ai.create_vectorizer(''doc'', name => %L, destination => ai.destination_table(%L), loading => ai.loading_column(''body''),
             embedding => ai.embedding_openai(''m'', 3))', name, destination))
$$;
SELECT name, pg_temp.named(name) FROM unnest(ARRAY[
    'plain', 'with_9_digits', '', 'Upper', '_underscore', '9digit', 'hy-phen', 'sp ace', 'quo"te', 'ümlaut', E'line\n']) AS name;

SELECT ai.create_vectorizer('doc', name => 'first', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 3),
    scheduling => ai.scheduling_none(), queue_table => 'my_queue') AS id \gset
SELECT pg_temp.named('first', 'elsewhere');
-- A migration that runs a second time finds its own vectorizer before its own queue is in its way, and changes nothing.
SELECT ai.create_vectorizer('doc', name => 'first', loading => ai.loading_column('body'), embedding => ai.embedding_openai('other', 4),
    scheduling => ai.scheduling_none(), queue_table => 'my_queue', if_not_exists => true) = :id AS same_id;
SELECT config #>> '{embedding,model}' AS model FROM ai.vectorizer WHERE name = 'first';
SELECT count(*) FROM ai.vectorizer WHERE source_table = 'doc';
-- So does one without a name of its own.
SELECT ai.create_vectorizer('doc', destination => ai.destination_table('unnamed'), loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 3), scheduling => ai.scheduling_none(), if_not_exists => true) AS id \gset
SELECT ai.create_vectorizer('doc', destination => ai.destination_table('unnamed'), loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 3), scheduling => ai.scheduling_none(), if_not_exists => true) = :id AS same_id;
SELECT name FROM ai.vectorizer WHERE id = :id;
-- if_not_exists forgives nothing else.
SELECT pg_temp.error_of($$SELECT ai.create_vectorizer('doc', name => 'first', loading => ai.loading_column('nothing'),
    embedding => ai.embedding_openai('m', 3), if_not_exists => true)$$);
SELECT pg_temp.error_of($$SELECT ai.create_vectorizer('doc', name => 'second', loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 3), queue_table => 'my_queue', if_not_exists => true)$$);
ROLLBACK;
