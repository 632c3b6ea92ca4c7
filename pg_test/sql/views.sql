-- What are tables in pgai, and views here: superusers, and roles that were granted it, are told what to call.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE ROLE ai_regress_writer;
SET ROLE ai_regress_writer;
SELECT pg_temp.error_of($$UPDATE ai.vectorizer SET disabled = true$$);
SELECT pg_temp.error_of($$DELETE FROM ai.vectorizer_errors$$);
RESET ROLE;
GRANT INSERT, UPDATE, DELETE ON ai.vectorizer, ai.vectorizer_errors, ai.vectorizer_failed, ai.vectorizer_status, ai.worker_status
TO ai_regress_writer;
SET ROLE ai_regress_writer;
-- Also where no row would have been written.
SELECT pg_temp.error_of($$UPDATE ai.vectorizer SET disabled = true WHERE name = 'docs'$$);
SELECT pg_temp.error_of($$DELETE FROM ai.vectorizer$$);
SELECT pg_temp.error_of($$INSERT INTO ai.vectorizer (id) VALUES (1)$$);
SELECT pg_temp.error_of($$INSERT INTO ai.vectorizer (id, name) VALUES (1, 'docs') ON CONFLICT DO NOTHING$$);
SELECT pg_temp.error_of($$DELETE FROM ai.vectorizer_errors WHERE recorded < now()$$);
SELECT pg_temp.error_of($$DELETE FROM ai.vectorizer_failed$$);
SELECT pg_temp.error_of($$UPDATE ai.vectorizer_status SET disabled = true$$);
SELECT pg_temp.error_of($$DELETE FROM ai.worker_status$$);
RESET ROLE;
SELECT pg_temp.error_of($$UPDATE ai.vectorizer SET disabled = true$$);
ROLLBACK;
