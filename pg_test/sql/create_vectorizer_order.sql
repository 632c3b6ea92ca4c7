-- A call that is wrong in several ways is told about the first in this order, which is the order of pgai.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE ROLE regress_stranger;
CREATE ROLE regress_owner;
GRANT USAGE ON FOREIGN SERVER ai_openai TO regress_owner;
CREATE SCHEMA s AUTHORIZATION regress_owner;
GRANT USAGE ON SCHEMA s TO regress_stranger;
CREATE TABLE s.doc (id int, body text);
ALTER TABLE s.doc OWNER TO regress_owner;
CREATE TABLE s._queue ();
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;

-- Everything is wrong; each step mends the first complaint.
CREATE TEMP TABLE argument (number int, name text, value text);
INSERT INTO argument VALUES
    (1, 'source', '''s.doc'''),
    (2, 'name', '''Bad Name'''),
    (3, 'destination', '''{"config_type": "destination", "implementation": "?"}'''),
    (4, 'loading', 'NULL'), (5, 'parsing', '''1'''), (6, 'embedding', 'NULL'), (7, 'chunking', '''1'''), (8, 'indexing', '''1'''),
    (9, 'formatting', '''1'''), (10, 'scheduling', '''1'''), (11, 'processing', '''1'''), (12, 'queue_schema', '''s'''), (13, 'queue_table', '''_queue'''),
    (14, 'grant_to', 'ai.grant_to(''regress_absent'')');
GRANT ALL ON argument TO regress_stranger;
CREATE FUNCTION pg_temp.attempt() RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of('SELECT ai.create_vectorizer(' || string_agg(name || ' => ' || value, ', ' ORDER BY number) || ')')
    FROM argument
$$;
CREATE FUNCTION pg_temp.mend(argument_name text, new_value text) RETURNS text LANGUAGE sql AS $$
    UPDATE argument SET value = new_value WHERE name = argument_name;
    SELECT pg_temp.attempt()
$$;
SET LOCAL ROLE regress_stranger;
SELECT pg_temp.attempt();
SELECT pg_temp.mend('grant_to', 'ai.grant_to()');
SELECT pg_temp.mend('embedding', '''{}''');
SELECT pg_temp.mend('loading', '''1''');
RESET ROLE;
SELECT pg_temp.attempt();
SELECT pg_temp.mend('embedding', '''{"dimensions": 3}''');
ALTER TABLE s.doc ADD PRIMARY KEY (id);
SELECT pg_temp.attempt();
SELECT pg_temp.mend('queue_table', 'NULL');
SELECT pg_temp.mend('loading', 'ai.loading_column(''body'')');
SELECT pg_temp.mend('parsing', 'ai.parsing_none()');
SELECT pg_temp.mend('embedding', 'ai.embedding_openai(''m'', 3)');
SELECT pg_temp.mend('chunking', 'ai.chunking_none()');
SELECT pg_temp.mend('indexing', 'ai.indexing_none()');
SELECT pg_temp.mend('formatting', 'ai.formatting_python_template()');
SELECT pg_temp.mend('scheduling', 'ai.scheduling_none()');
SELECT pg_temp.mend('processing', 'ai.processing_default()');
CREATE VIEW s.emb AS SELECT 1;
CREATE TABLE s.emb_store ();
SELECT pg_temp.mend('destination', 'ai.destination_table(''emb'')');
DROP VIEW s.emb;
SELECT pg_temp.attempt();
DROP TABLE s.emb_store;
SELECT pg_temp.attempt();
SELECT pg_temp.mend('name', 'NULL');
ROLLBACK;
