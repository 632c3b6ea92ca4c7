-- What a role without any privileges may see and do.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE ROLE regress_nobody;
CREATE ROLE regress_one;
CREATE ROLE regress_two;
GRANT USAGE ON FOREIGN SERVER ai_openai TO regress_one, regress_two;
CREATE ROLE regress_monitor IN ROLE pg_monitor;
CREATE SCHEMA app;
GRANT ALL ON SCHEMA app TO regress_one, regress_two;
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
SET LOCAL ROLE regress_one;
CREATE TABLE app.one (id int PRIMARY KEY, body text);
SELECT ai.create_vectorizer('app.one', name => 'one', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());
SET LOCAL ROLE regress_two;
CREATE TABLE app.two (id int PRIMARY KEY, body text);
SELECT ai.create_vectorizer('app.two', name => 'two', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());
RESET ROLE;
INSERT INTO ai._vectorizer_errors (id, message, details, step, failure_class, primary_key)
VALUES (101, 'loading failed', '{"loader": "column"}', 'loading', 'permanent', '{"id": 1}'),
       (102, 'embedding provider failed', '{"provider": "openai"}', 'embedding', 'configuration', NULL);

-- Who was given nothing sees nothing.
SET LOCAL ROLE regress_nobody;
SELECT id, name, source_table FROM ai.vectorizer WHERE id > 100 ORDER BY id;
SELECT id, pending_items FROM ai.vectorizer_status WHERE id > 100 ORDER BY id;
SELECT vectorizer, state, reason FROM ai.worker_status WHERE vectorizer IN ('one', 'two') ORDER BY vectorizer;
SELECT pg_temp.error_of('SELECT ai.vectorizer_queue_pending(101)');
-- Errors name documents: owners see theirs, those who watch over the server see all.
SELECT id, name FROM ai.vectorizer_errors ORDER BY id;
SELECT pg_temp.error_of('SELECT * FROM ai._vectorizer_errors');
SET LOCAL ROLE regress_one;
SELECT id, pending_items FROM ai.vectorizer_status WHERE id > 100 ORDER BY id;
SELECT id, name, message, details, primary_key, step, failure_class, occurrences FROM ai.vectorizer_errors ORDER BY id;
SET LOCAL ROLE regress_two;
SELECT id, name, message, details, primary_key, step, failure_class, occurrences FROM ai.vectorizer_errors ORDER BY id;
SET LOCAL ROLE regress_monitor;
SELECT id, name FROM ai.vectorizer_errors ORDER BY id;

SELECT id FROM ai.vectorizer WHERE id > 100 ORDER BY id;
SELECT id, name, reason FROM ai.vectorizer_failed;

-- Whoever made it with grant_to lets others see it, but what fails: as with pgai.
RESET ROLE;
CREATE ROLE regress_reader;
CREATE ROLE regress_user;
CREATE ROLE regress_admin;
SET LOCAL ROLE regress_two;
CREATE TABLE app.three (id int PRIMARY KEY, body text);
SET LOCAL client_min_messages = error;
SELECT ai.create_vectorizer('app.three', name => 'three', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none(), grant_to => ai.grant_to('regress_reader'));
RESET client_min_messages;
RESET ROLE;
INSERT INTO ai._vectorizer_errors (id, message, details, step, failure_class, primary_key)
VALUES (103, 'loading failed', '{"loader": "column"}', 'loading', 'permanent', '{"id": 3}');
SET LOCAL ROLE regress_reader;
SELECT id, source_table, queue_table FROM ai.vectorizer WHERE id > 100 ORDER BY id;
SELECT id, pending_items FROM ai.vectorizer_status WHERE id > 100 ORDER BY id;
SELECT vectorizer, state FROM ai.worker_status WHERE process = 'vectorizer' AND vectorizer IN ('one', 'two', 'three');
SELECT id FROM ai.vectorizer_errors;
SELECT pg_temp.error_of('SELECT ai.drop_vectorizer(103)');
SELECT pg_temp.error_of('SELECT ai.disable_vectorizer_schedule(103)');

-- A superuser lets somebody see all, and pass that on.
RESET ROLE;
SELECT ai.grant_vectorizer_usage('regress_user');
SELECT ai.grant_vectorizer_usage('regress_admin', admin => true);
SET LOCAL ROLE regress_user;
SELECT id FROM ai.vectorizer WHERE id > 100 ORDER BY id;
SELECT id FROM ai.vectorizer_errors ORDER BY id;
SELECT pg_temp.error_of('SELECT ai.drop_vectorizer(103)');
SELECT pg_temp.error_of('UPDATE ai._vectorizer SET config = ''{}''');
SELECT pg_temp.error_of('SELECT ai.grant_vectorizer_usage(''regress_nobody'')');
SET LOCAL ROLE regress_admin;
SELECT ai.grant_vectorizer_usage('regress_nobody');
SET LOCAL ROLE regress_nobody;
SELECT id FROM ai.vectorizer WHERE id > 100 ORDER BY id;
SET LOCAL ROLE regress_admin;
REVOKE SELECT ON ai._vectorizer FROM regress_nobody;
SET LOCAL ROLE regress_nobody;
SELECT id FROM ai.vectorizer WHERE id > 100 ORDER BY id;
-- A function of one's own in a condition is not shown rows of others.
CREATE FUNCTION pg_temp.peep(what text) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN
    RAISE NOTICE 'saw %', what;
    RETURN true;
END
$$;
SELECT id FROM ai.vectorizer WHERE pg_temp.peep(name::text);
SELECT id FROM ai.vectorizer_errors WHERE pg_temp.peep(message);

-- Nobody writes to the catalogue, be it their own vectorizer.
SET LOCAL ROLE regress_one;
SELECT statement, pg_temp.error_of(statement)
FROM unnest(ARRAY[
    'UPDATE ai._vectorizer SET config = ''{}''',
    'UPDATE ai.vectorizer SET config = ''{}''',
    'DELETE FROM ai._vectorizer',
    'INSERT INTO ai._vectorizer SELECT * FROM ai._vectorizer',
    'INSERT INTO ai._vectorizer_errors (id, step, failure_class) VALUES (101, '''', '''')',
    'DELETE FROM ai.vectorizer_errors',
    'DELETE FROM ai._vectorizer_state',
    'TRUNCATE ai._vectorizer CASCADE',
    'SELECT nextval(''ai.vectorizer_id_seq'')',
    'CREATE TABLE ai._vectorizer_q_999 ()',
    'CREATE FUNCTION ai.forged() RETURNS int RETURN 1',
    'SELECT ai.create_vectorizer(''ai._vectorizer'', loading => ai.loading_column(''name''), embedding => ai.embedding_openai(''m'', 2))',
    'SELECT ai.create_vectorizer(''app.one'', name => ''more'', destination => ai.destination_table(''x'', target_schema => ''ai''), loading => ai.loading_column(''body''), embedding => ai.embedding_openai(''m'', 2))',
    'SELECT ai.create_vectorizer(''app.one'', name => ''more'', destination => ai.destination_table(''x'', view_schema => ''ai''), loading => ai.loading_column(''body''), embedding => ai.embedding_openai(''m'', 2))'
]) AS statement;
-- What belongs to another is out of reach.
SET LOCAL ROLE regress_two;
SELECT pg_temp.error_of('SELECT * FROM app.one_embedding');
SELECT pg_temp.error_of('SELECT ai.drop_vectorizer(101)');
-- The private functions check as the public ones do.
SELECT pg_temp.error_of($$SELECT ai._create_vectorizer('app.one', 'x', ai.destination_table(), ai.loading_column('body'), ai.parsing_auto(),
    ai.embedding_openai('m', 2), ai.chunking_none(), ai.indexing_none(), ai.formatting_python_template(), ai.scheduling_none(), ai.processing_default(), NULL, NULL, NULL, true, false)$$);
ROLLBACK;
