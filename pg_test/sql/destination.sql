-- ai.destination_table: the JSON that it builds, and the names that come of it.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
SELECT ai.destination_table();
SELECT ai.destination_table('embeddings');
SELECT ai.destination_table(target_schema => 's', target_table => 't', view_schema => 'v', view_name => 'w');
SELECT ai.destination_table('d', 's', 't', 'v', 'w');

BEGIN;
CREATE SCHEMA one;
CREATE SCHEMA two;
CREATE SCHEMA three;
CREATE TABLE one.doc (id int PRIMARY KEY, body text);
CREATE FUNCTION pg_temp.with_destination(destination jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format(
        'SELECT ai.create_vectorizer(''one.doc'', loading => ai.loading_column(''body''),
             embedding => ai.embedding_openai(''m'', 3), destination => %L)', destination))
$$;
SELECT pg_temp.with_destination('[]');
SELECT pg_temp.with_destination(NULL);
SELECT pg_temp.with_destination('{}');
SELECT pg_temp.with_destination('{"config_type": "destination"}');
SELECT pg_temp.with_destination('{"config_type": "destination", "implementation": "oblivion"}');
SELECT pg_temp.with_destination(ai.destination_table(target_schema => 'nowhere'));
SELECT pg_temp.with_destination(ai.destination_table(view_schema => 'nowhere'));

-- Names derived and given. view_schema counts (pgai read it and used the schema of the source).
CREATE TABLE one."Über-Docs" (id int PRIMARY KEY, body text);
CREATE TABLE one.a_table_with_a_name_of_fifty_characters_abcdefghij (id int PRIMARY KEY, body text);
CREATE TABLE one.a_table_with_a_name_of_63_characters_abcdefghijklmnopqrstuvwxyz (id int PRIMARY KEY, body text);
CREATE FUNCTION pg_temp.make(source regclass, destination jsonb, name text DEFAULT NULL) RETURNS bool LANGUAGE sql AS $$
    SELECT ai.create_vectorizer(source, name => name, destination => destination, loading => ai.loading_column('body'),
                                embedding => ai.embedding_openai('m', 3), scheduling => ai.scheduling_none()) > 0
$$;
SELECT pg_temp.make('one.doc', ai.destination_table());
SELECT pg_temp.make('one.doc', ai.destination_table('based'));
SELECT pg_temp.make('one.doc', ai.destination_table('based', target_schema => 'two', view_name => 'based_view'), 'based_in_two');
SELECT pg_temp.make('one.doc', ai.destination_table('viewed', view_schema => 'two'));
SELECT pg_temp.make('one.doc', ai.destination_table(target_table => 'only_table', view_name => 'only_view'));
SELECT pg_temp.make('one.doc', ai.destination_table('unused', 'two', 'all_table', 'three', 'all_view'));
SELECT pg_temp.make('one.doc', ai.destination_table(target_schema => 'three', view_name => 'given_view'));
SELECT pg_temp.make('one.doc', ai.destination_table('Mixed "Case"'));
SELECT pg_temp.make('one."Über-Docs"', ai.destination_table());
SELECT pg_temp.make('one.a_table_with_a_name_of_fifty_characters_abcdefghij', ai.destination_table());
-- A name without room for what is behind it is cut before it.
SELECT pg_temp.make('one.a_table_with_a_name_of_63_characters_abcdefghijklmnopqrstuvwxyz', ai.destination_table());
SELECT name, (config -> 'destination') - '{config_type,implementation}'::text[] AS destination,
       to_regclass(format('%I.%I', config #>> '{destination,target_schema}', config #>> '{destination,target_table}')) IS NOT NULL AS "table",
       to_regclass(format('%I.%I', config #>> '{destination,view_schema}', config #>> '{destination,view_name}')) IS NOT NULL AS view
FROM ai.vectorizer WHERE source_schema = 'one' ORDER BY id;
SELECT DISTINCT array(SELECT jsonb_object_keys(config -> 'destination') ORDER BY 1) AS keys
FROM ai.vectorizer WHERE source_schema = 'one';

-- Names that are taken: the view is looked at first.
CREATE VIEW one.taken AS SELECT 1;
CREATE TABLE one.taken_store ();
CREATE TABLE one.other_store ();
SELECT pg_temp.with_destination(ai.destination_table('taken'));
SELECT pg_temp.with_destination(ai.destination_table('other'));
SELECT pg_temp.with_destination(ai.destination_table(target_table => 'doc', view_name => 'free'));
ROLLBACK;
