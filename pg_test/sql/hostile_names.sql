-- Names that try to leave their quotes: the statements of the extension run as a superuser where they make the queue.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE ROLE regress_hostile;
GRANT USAGE ON FOREIGN SERVER ai_openai, ai_s3 TO regress_hostile;
CREATE SCHEMA app AUTHORIZATION regress_hostile;
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
SET LOCAL ROLE regress_hostile;
-- Whoever makes a function may have its body left unchecked.
SET LOCAL check_function_bodies = off;
CREATE FUNCTION pg_temp.make(source regclass, queue_schema name DEFAULT NULL, queue_table name DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN 'vectorizer ' || ai.create_vectorizer(source, destination => ai.destination_table(('emb' || source::oid)::name), name => 'v' || source::oid,
        loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none(),
        queue_schema => queue_schema, queue_table => queue_table);
END
$$;
CREATE TABLE app.a ("$trigger$;ALTER ROLE regress_hostile SUPERUSER;SELECT $trigger$" int PRIMARY KEY, body text);
SELECT pg_temp.make('app.a');
CREATE TABLE app.b ("{target} {pk} %I %s $1 '" int PRIMARY KEY, "body}" int, body text);
SELECT pg_temp.make('app.b');
CREATE TABLE app."c"";ALTER ROLE regress_hostile SUPERUSER;--" (id int PRIMARY KEY, body text);
SELECT pg_temp.make('app."c"";ALTER ROLE regress_hostile SUPERUSER;--"');
CREATE TABLE app.d (id int PRIMARY KEY, body text);
SELECT pg_temp.make('app.d', 'app', '$trigger$;ALTER ROLE regress_hostile SUPERUSER;SELECT $trigger$');
CREATE TYPE app."e$trigger$;"";'" AS ENUM ('x');
CREATE TABLE app.e (id app."e$trigger$;"";'" PRIMARY KEY, body text);
SELECT pg_temp.make('app.e');
RESET ROLE;
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_hostile';
-- And the triggers work.
INSERT INTO app.a VALUES (1, 'one');
INSERT INTO app.b VALUES (1, 1, 'one');
INSERT INTO app."c"";ALTER ROLE regress_hostile SUPERUSER;--" VALUES (1, 'one');
INSERT INTO app.d VALUES (1, 'one');
INSERT INTO app.e VALUES ('x', 'one');
UPDATE app.a SET body = 'two';
UPDATE app.b SET body = 'two';
UPDATE app.d SET body = 'two';
UPDATE app.e SET body = 'two';
SELECT id, ai.vectorizer_queue_pending(id) FROM ai.vectorizer WHERE id > 100 ORDER BY id;
DELETE FROM app.a;
DELETE FROM app.b;
DELETE FROM app.d;
DELETE FROM app.e;
SELECT id, ai.vectorizer_queue_pending(id) FROM ai.vectorizer WHERE id > 100 ORDER BY id;
SELECT ai.drop_vectorizer(id, drop_all => true) FROM ai.vectorizer WHERE id > 100 ORDER BY id;
ROLLBACK;
