-- Who may make and drop a vectorizer, and to whom it belongs.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE ROLE regress_owner;
CREATE ROLE regress_member ROLE regress_owner;
CREATE ROLE regress_colleague IN ROLE regress_owner;
CREATE ROLE regress_stranger;
GRANT USAGE ON FOREIGN SERVER ai_openai TO regress_owner, regress_stranger, regress_member, regress_colleague;
CREATE SCHEMA app AUTHORIZATION regress_owner;
GRANT ALL ON SCHEMA app TO regress_stranger;
SET LOCAL ROLE regress_owner;
CREATE TABLE app.doc (id int PRIMARY KEY, body text);
INSERT INTO app.doc VALUES (1, 'one');
GRANT ALL ON app.doc TO regress_stranger;
RESET ROLE;
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
CREATE FUNCTION pg_temp.make(destination name, queue_schema name DEFAULT NULL) RETURNS int LANGUAGE sql AS $$
    SELECT ai.create_vectorizer('app.doc', destination => ai.destination_table(destination), loading => ai.loading_column('body'),
        embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none(), queue_schema => queue_schema)
$$;

-- All privileges on the table are not ownership.
SET LOCAL ROLE regress_stranger;
SELECT pg_temp.error_of($$SELECT pg_temp.make('by_stranger')$$);
SET LOCAL ROLE regress_owner;
SELECT pg_temp.make('by_owner');
SET LOCAL ROLE regress_colleague;
SELECT pg_temp.make('by_colleague', 'app');
RESET ROLE;
SELECT pg_temp.make('by_superuser');
-- Whoever makes it, it is the owner's.
SELECT v.name, pg_get_userbyid(c.relowner) AS target, pg_get_userbyid(w.relowner) AS view, pg_get_userbyid(q.relowner) AS queue,
       pg_get_userbyid(f.relowner) AS failed, pg_get_userbyid(p.proowner) AS function
FROM ai._vectorizer v
JOIN pg_class c ON c.oid = v.target JOIN pg_class w ON w.oid = v.view JOIN pg_class q ON q.oid = v.queue
JOIN pg_class f ON f.oid = v.queue_failed JOIN pg_proc p ON p.oid = to_regproc(v.trigger_function)
WHERE v.id > 100 ORDER BY v.id;

-- Who may write to the table writes to the queue by it, and to the destination, and in no other way.
SET LOCAL ROLE regress_stranger;
INSERT INTO app.doc VALUES (2, 'two');
UPDATE app.doc SET id = 3 WHERE id = 2;
SELECT pg_temp.error_of('SELECT * FROM ai._vectorizer_q_101');
SELECT pg_temp.error_of('INSERT INTO ai._vectorizer_q_101 (id) VALUES (9)');
SELECT pg_temp.error_of('SELECT * FROM app.by_owner');
SELECT pg_temp.error_of('CREATE TRIGGER forged AFTER INSERT ON app.doc FOR EACH STATEMENT EXECUTE FUNCTION ai._vectorizer_src_trg_101()');
SELECT pg_temp.error_of('SELECT ai.drop_vectorizer(101)');
SELECT pg_temp.error_of($$SELECT ai.drop_vectorizer('app_by_colleague_store', true)$$);
TRUNCATE app.doc;
SET LOCAL ROLE regress_owner;
SELECT count(*) FROM ai._vectorizer_q_101;

-- Being able to become the owner is enough; the owner being able to become you is not.
SET LOCAL ROLE regress_member;
SELECT pg_temp.error_of('SELECT ai.drop_vectorizer(101)');
SET LOCAL ROLE regress_colleague;
SELECT ai.drop_vectorizer(101, drop_all => true);
SET LOCAL ROLE regress_owner;
SELECT ai.drop_vectorizer(102, drop_all => true);
SELECT ai.drop_vectorizer(103);
RESET ROLE;
SELECT count(*) FROM ai.vectorizer WHERE id > 100;
SELECT relname FROM pg_class WHERE relnamespace = 'app'::regnamespace AND relkind IN ('r', 'v') ORDER BY relname;
ROLLBACK;
