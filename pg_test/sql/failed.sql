-- Documents that were given up: who sees them, and how they are tried again.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE ROLE ai_regress_author;
GRANT USAGE ON FOREIGN SERVER ai_openai TO ai_regress_author;
CREATE ROLE ai_regress_editor IN ROLE ai_regress_author;
CREATE ROLE ai_regress_reader;
CREATE ROLE ai_regress_watcher IN ROLE pg_monitor;
CREATE SCHEMA app AUTHORIZATION ai_regress_author;
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
CREATE TABLE public.other (id int PRIMARY KEY, body text);
SELECT ai.create_vectorizer('public.other', name => 'others', loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());
INSERT INTO ai._vectorizer_q_failed_101 (id, failure_step, failure_class, reason, attempts) VALUES (1, 'embedding', 'unknown', 'not finite', 3);
SET ROLE ai_regress_author;
CREATE TABLE app.doc (class text, "Key 2" numeric, body text, PRIMARY KEY (class, "Key 2"));
SELECT ai.create_vectorizer('app.doc', name => 'docs', loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());
CREATE FUNCTION pg_temp.fail() RETURNS void LANGUAGE sql AS $$
    SELECT ai._take_in(102);
    DELETE FROM ai._vectorizer_q_102;
    DELETE FROM ai._vectorizer_q_failed_102;
    INSERT INTO ai._vectorizer_q_failed_102 (pk_class, "Key 2", failure_step, failure_class, reason, attempts)
    VALUES ('a', 1.10, 'loading', 'permanent', 'no such key', 1),
           ('a', 12345678901234567890.2, 'loading', 'transient', 'no answer', 7),
           ('b', 3, 'embedding', 'permanent', 'rejected', 1);
    -- One waits a long time, one is new, one is worked on, and one has killed a worker.
    INSERT INTO ai._vectorizer_q_102 (pk_class, "Key 2", attempts, loading_retries, loading_retry_after, lease, lease_expires_at, crashes)
    VALUES ('w', 1, 5, 5, now() + interval '1 hour', NULL, NULL, 0),
           ('w', 2, 0, 0, NULL, NULL, NULL, 0),
           ('w', 3, 1, 0, NULL, 7, now() + interval '1 hour', 0),
           ('w', 4, 2, 0, NULL, NULL, NULL, 2)
$$;
CREATE FUNCTION pg_temp.queued() RETURNS TABLE (key text, "Key 2" numeric, attempts int, crashes int, waits bool, leased bool) LANGUAGE sql AS $$
    SELECT ai._take_in(102);
    SELECT pk_class, q."Key 2", q.attempts, q.crashes, loading_retry_after IS NOT NULL, lease IS NOT NULL FROM ai._vectorizer_q_102 q ORDER BY 1, 2
$$;
SELECT pg_temp.fail();
-- The owner, a member of it, who watches, and anybody.
SELECT id, name, primary_key, failure_step, failure_class, reason, attempts, created_at = now() AS created_now, queued FROM ai.vectorizer_failed ORDER BY id, primary_key::text;
SET ROLE ai_regress_editor;
SELECT name, count(*) FROM ai.vectorizer_failed GROUP BY 1 ORDER BY 1;
SET ROLE ai_regress_watcher;
SELECT name, count(*) FROM ai.vectorizer_failed GROUP BY 1 ORDER BY 1;
SELECT pg_temp.error_of($$SELECT ai.retry_vectorizer('docs')$$);
SET ROLE ai_regress_reader;
SELECT name, count(*) FROM ai.vectorizer_failed GROUP BY 1 ORDER BY 1;
SELECT pg_temp.error_of($$SELECT ai.retry_vectorizer('docs')$$);
RESET ROLE;
SELECT name, count(*) FROM ai.vectorizer_failed GROUP BY 1 ORDER BY 1;
SET ROLE ai_regress_editor;
-- All: those that were given up, and those that wait. A second time there is nothing to send.
SELECT ai.retry_vectorizer('docs');
SELECT * FROM pg_temp.queued();
SELECT primary_key, queued FROM ai.vectorizer_failed ORDER BY primary_key::text;
SELECT ai.retry_vectorizer(102);
-- One.
SELECT pg_temp.fail();
SELECT ai.retry_vectorizer('docs', (SELECT primary_key FROM ai.vectorizer_failed WHERE failure_class = 'transient'));
SELECT ai.retry_vectorizer('docs', primary_key => '{"class": "w", "Key 2": 1}');
SELECT ai.retry_vectorizer('docs', primary_key => '{"class": "w", "Key 2": "4"}');
SELECT ai.retry_vectorizer('docs', primary_key => '{"class": "w", "Key 2": 99}');
SELECT ai.retry_vectorizer('docs', primary_key => '{"class": "a", "Key 2": 1.1}', class => 'transient');
SELECT * FROM pg_temp.queued();
-- A class.
SELECT pg_temp.fail();
RESET ROLE;
INSERT INTO ai._vectorizer_errors (id, step, failure_class, primary_key) VALUES (102, 'loading', 'permanent', '{"class": "w", "Key 2": 1}');
SET ROLE ai_regress_author;
SELECT ai.retry_vectorizer('docs', class => 'transient');
SELECT ai.retry_vectorizer('docs', class => 'permanent');
SELECT * FROM pg_temp.queued();
-- It ends a pause.
RESET ROLE;
INSERT INTO ai._vectorizer_state (id, retry_at, reason) VALUES (102, now() + interval '10 minutes', 'no key');
INSERT INTO ai._vectorizer_errors (id, step, failure_class) VALUES (102, 'embedding', 'configuration');
SELECT ai.retry_vectorizer('docs');
SELECT (SELECT count(*) FROM ai._vectorizer_state) AS paused, (SELECT count(*) FROM ai._vectorizer_errors WHERE primary_key IS NULL) AS noted;
-- What makes no sense.
SELECT pg_temp.error_of($$SELECT ai.retry_vectorizer('x')$$);
SELECT pg_temp.error_of($$SELECT ai.retry_vectorizer(99)$$);
SELECT pg_temp.error_of($$SELECT ai.retry_vectorizer(NULL::int)$$);
SELECT pg_temp.error_of($$SELECT ai.retry_vectorizer('docs', class => 'bad')$$);
SELECT pg_temp.error_of($$SELECT ai.retry_vectorizer('docs', '{"class": "a"}')$$);
SELECT pg_temp.error_of($$SELECT ai.retry_vectorizer('docs', '[1]')$$);
SELECT pg_temp.error_of($$SELECT ai.retry_vectorizer('docs', '{"class": "a", "Key 2": "many"}')$$);
ROLLBACK;
