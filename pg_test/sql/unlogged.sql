-- A crash empties unlogged tables and fires no trigger: queue and destination share the fate of their source.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE SCHEMA app;
CREATE UNLOGGED TABLE app.doc (id int PRIMARY KEY, body text);
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
SELECT ai.create_vectorizer('app.doc', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());
SELECT ai.create_vectorizer('app.doc', destination => ai.destination_column('vec'), loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2),
    chunking => ai.chunking_none(), scheduling => ai.scheduling_none());
CREATE VIEW pg_temp.persistence AS
SELECT oid::regclass AS relation, relpersistence FROM pg_class
WHERE relkind IN ('r', 'S') AND (relnamespace = 'app'::regnamespace OR relname LIKE '\_vectorizer\_q\_%' OR relname LIKE '\_vectorizer\_intake\_%') ORDER BY oid::regclass::text;
INSERT INTO app.doc VALUES (1, 'one');
SELECT * FROM pg_temp.persistence;
ALTER TABLE app.doc SET LOGGED;
SELECT * FROM pg_temp.persistence WHERE relpersistence <> 'p';
ALTER TABLE app.doc SET UNLOGGED;
SELECT * FROM pg_temp.persistence WHERE relpersistence <> 'u';
SELECT ai._take_in(101);
SELECT id FROM ai._vectorizer_q_101;
ROLLBACK;
