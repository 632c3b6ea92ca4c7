-- Primary keys of all sorts: what is made of them, and that a change finds its row in queue and destination.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
CREATE SCHEMA "Odd Schema";
CREATE DOMAIN "Odd Schema".code AS varchar(8) CHECK (value <> '');
CREATE TYPE "Odd Schema".mood AS ENUM ('sad', 'ok');
CREATE TYPE "Odd Schema".pair AS (a int, b text);
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);

-- Makes a vectorizer for "Odd Schema".doc, puts its rows through insert, update and delete, and tells what it saw.
CREATE FUNCTION pg_temp.exercise(OUT source_pk text, OUT queue text, OUT inserted int8, OUT updated int8, OUT chunks int8, OUT joined int8, OUT deleted text)
LANGUAGE plpgsql AS $$
DECLARE
    made int;
    vectorizer ai._vectorizer;
    key text;
BEGIN
    made := ai.create_vectorizer('"Odd Schema".doc', destination => ai.destination_table('emb'), loading => ai.loading_column('body'),
        embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());
    SELECT * INTO vectorizer FROM ai._vectorizer v WHERE v.id = made;
    SELECT string_agg(format('%s %s', k ->> 'attname', k ->> 'typname'), ', ' ORDER BY (k ->> 'pknum')::int),
           string_agg(format('%I', k ->> 'attname'), ', ')
    INTO source_pk, key FROM jsonb_array_elements(vectorizer.source_pk) AS k;
    SELECT string_agg("column"::text, ', ') INTO queue FROM pg_temp.columns_of(vectorizer.queue) WITH ORDINALITY AS c ("column", type, "default", number)
    WHERE number <= jsonb_array_length(vectorizer.source_pk);
    EXECUTE format('SELECT count(*) FROM %s', vectorizer.queue) INTO inserted;
    EXECUTE format('INSERT INTO %s (%s, chunk_seq, chunk, embedding) SELECT %s, 0, body, ''[1,0]'' FROM "Odd Schema".doc', vectorizer.target, key, key);
    EXECUTE format('DELETE FROM %s', vectorizer.queue);
    UPDATE "Odd Schema".doc SET body = body || '!' WHERE body = 'one';
    UPDATE "Odd Schema".doc SET body = body;
    PERFORM ai._take_in(made);
    EXECUTE format('SELECT count(*) FROM %s', vectorizer.queue) INTO updated;
    EXECUTE format('SELECT count(*), count(body) FROM %s', vectorizer.view) INTO chunks, joined;
    DELETE FROM "Odd Schema".doc WHERE body = 'one!';
    EXECUTE format('SELECT (SELECT count(*) FROM %s) || '' queued, '' || (SELECT count(*) FROM %s) || '' embedded''', vectorizer.queue, vectorizer.target) INTO deleted;
    PERFORM ai.drop_vectorizer(vectorizer.id, drop_all => true);
    DROP TABLE "Odd Schema".doc;
END
$$;

\x on
-- One column, of many types.
CREATE TABLE "Odd Schema".doc (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), body text);
INSERT INTO "Odd Schema".doc (body) VALUES ('one'), ('two');
SELECT * FROM pg_temp.exercise();
CREATE TABLE "Odd Schema".doc (at timestamptz(3) PRIMARY KEY, body text);
INSERT INTO "Odd Schema".doc VALUES ('2026-01-01', 'one'), ('infinity', 'two');
SELECT * FROM pg_temp.exercise();
CREATE TABLE "Odd Schema".doc (n numeric(10, 2) PRIMARY KEY, body text);
INSERT INTO "Odd Schema".doc VALUES (1.5, 'one'), ('NaN', 'two');
SELECT * FROM pg_temp.exercise();
CREATE TABLE "Odd Schema".doc (tags text[] PRIMARY KEY, body text);
INSERT INTO "Odd Schema".doc VALUES ('{a,b}', 'one'), ('{}', 'two');
SELECT * FROM pg_temp.exercise();
CREATE TABLE "Odd Schema".doc (fixed char(5) PRIMARY KEY, body text);
INSERT INTO "Odd Schema".doc VALUES ('a', 'one'), ('', 'two');
SELECT * FROM pg_temp.exercise();
CREATE TABLE "Odd Schema".doc (code "Odd Schema".code PRIMARY KEY, body text);
INSERT INTO "Odd Schema".doc VALUES ('a', 'one'), ('b', 'two');
SELECT * FROM pg_temp.exercise();
CREATE TABLE "Odd Schema".doc (mood "Odd Schema".mood PRIMARY KEY, body text);
INSERT INTO "Odd Schema".doc VALUES ('ok', 'one'), ('sad', 'two');
SELECT * FROM pg_temp.exercise();
CREATE TABLE "Odd Schema".doc (pair "Odd Schema".pair PRIMARY KEY, body text);
INSERT INTO "Odd Schema".doc VALUES ((1, 'a'), 'one'), ((1, NULL), 'two');
SELECT * FROM pg_temp.exercise();
CREATE TABLE "Odd Schema".doc (during int4range PRIMARY KEY, body text);
INSERT INTO "Odd Schema".doc VALUES ('[1,3)', 'one'), ('empty', 'two');
SELECT * FROM pg_temp.exercise();
CREATE TABLE "Odd Schema".doc (json jsonb PRIMARY KEY, body text);
INSERT INTO "Odd Schema".doc VALUES ('{"a": 1}', 'one'), ('null', 'two');
SELECT * FROM pg_temp.exercise();
CREATE TABLE "Odd Schema".doc (bytes bytea PRIMARY KEY, body text);
INSERT INTO "Odd Schema".doc VALUES ('\x00', 'one'), ('', 'two');
SELECT * FROM pg_temp.exercise();
-- Of an extension, with an operator from the schema of that.
CREATE TABLE "Odd Schema".doc (place vector(2) PRIMARY KEY, body text);
INSERT INTO "Odd Schema".doc VALUES ('[1,2]', 'one'), ('[2,1]', 'two');
SELECT * FROM pg_temp.exercise();
-- With collations of their own, one of which holds different texts equal.
CREATE TABLE "Odd Schema".doc (uri text COLLATE "C" PRIMARY KEY, body text);
INSERT INTO "Odd Schema".doc VALUES ('a', 'one'), ('A', 'two');
SELECT * FROM pg_temp.exercise();
CREATE TABLE "Odd Schema".doc (uri text COLLATE nocase PRIMARY KEY, body text);
INSERT INTO "Odd Schema".doc VALUES ('a', 'one'), ('B', 'two');
SELECT * FROM pg_temp.exercise();
-- From an index that was there before.
CREATE TABLE "Odd Schema".doc (uri text, body text);
CREATE UNIQUE INDEX by_pattern ON "Odd Schema".doc (uri);
ALTER TABLE "Odd Schema".doc ALTER uri SET NOT NULL, ADD PRIMARY KEY USING INDEX by_pattern;
INSERT INTO "Odd Schema".doc VALUES ('a', 'one'), ('A', 'two');
SELECT * FROM pg_temp.exercise();
-- Several columns, in another order than that of the table.
CREATE TABLE "Odd Schema".doc (a int, body text, b text, c date, PRIMARY KEY (c, a, b));
INSERT INTO "Odd Schema".doc VALUES (1, 'one', 'x', '2026-01-01'), (1, 'two', 'y', '2026-01-01');
SELECT * FROM pg_temp.exercise();
-- Names that need quotes.
CREATE TABLE "Odd Schema".doc ("Upper" int, "with space" int, "quo""te" int, "ünï" int, "select" int, body text,
    PRIMARY KEY ("Upper", "with space", "quo""te", "ünï", "select"));
INSERT INTO "Odd Schema".doc VALUES (1, 1, 1, 1, 1, 'one'), (1, 1, 1, 1, 2, 'two');
SELECT * FROM pg_temp.exercise();
-- Names of the queue's own columns.
CREATE TABLE "Odd Schema".doc (version int, queued_at int, item int, pk_item int, lease int, class int, created_at int, body text,
    PRIMARY KEY (version, queued_at, item, pk_item, lease, class, created_at));
INSERT INTO "Odd Schema".doc VALUES (1, 1, 1, 1, 1, 1, 1, 'one'), (1, 1, 1, 1, 1, 1, 2, 'two');
SELECT * FROM pg_temp.exercise();
-- Names of the statements' own.
CREATE TABLE "Odd Schema".doc (found int, old int, new int, tg_op int, body text, PRIMARY KEY (found, old, new, tg_op));
INSERT INTO "Odd Schema".doc VALUES (1, 1, 1, 1, 'one'), (1, 1, 1, 2, 'two');
SELECT * FROM pg_temp.exercise();
CREATE TABLE "Odd Schema".doc (q int, n int, o int, t int, s int, old_rows int, body text, PRIMARY KEY (q, n, o, t, s, old_rows));
INSERT INTO "Odd Schema".doc VALUES (1, 1, 1, 1, 1, 1, 'one'), (1, 1, 1, 1, 1, 2, 'two');
SELECT * FROM pg_temp.exercise();
\x off
ROLLBACK;
