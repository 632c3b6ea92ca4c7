-- Vectors in a column of the source.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE SCHEMA app;
CREATE TABLE app.doc (id int PRIMARY KEY, body text, note json);
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
CREATE FUNCTION pg_temp.into_column(destination text, embedding text DEFAULT $$ai.embedding_openai('m', 2)$$, more text DEFAULT '', chunking text DEFAULT 'ai.chunking_none()')
RETURNS text LANGUAGE sql AS $$
    SELECT format('SELECT ai.create_vectorizer(''app.doc'', destination => %s, loading => ai.loading_column(''body''), embedding => %s,
                   chunking => %s, scheduling => ai.scheduling_none() %s)', destination, embedding, chunking, more)
$$;
-- What is refused.
SELECT pg_temp.error_of(pg_temp.into_column($$ai.destination_column('vec')$$, chunking => 'ai.chunking_recursive_character_text_splitter()'));
SELECT pg_temp.error_of($$SELECT ai.create_vectorizer('app.doc', destination => ai.destination_column('vec'), loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2))$$);
SELECT pg_temp.error_of(pg_temp.into_column('ai.destination_column(NULL)'));
SELECT pg_temp.error_of(pg_temp.into_column($$ai.destination_column('body')$$));
SELECT pg_temp.error_of(pg_temp.into_column($$ai.destination_column('id')$$));
ALTER TABLE app.doc ADD three vector(3), ADD any_size vector, ADD many vector(2)[], ADD half halfvec(2);
SELECT pg_temp.error_of(pg_temp.into_column($$ai.destination_column('three')$$));
SELECT pg_temp.error_of(pg_temp.into_column($$ai.destination_column('any_size')$$));
SELECT pg_temp.error_of(pg_temp.into_column($$ai.destination_column('many')$$));
SELECT pg_temp.error_of(pg_temp.into_column($$ai.destination_column('half')$$));
SELECT pg_temp.error_of(pg_temp.into_column($$ai.destination_column('ctid')$$));
ALTER TABLE app.doc DROP three, DROP any_size, DROP many, DROP half;

ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
-- One that writes chunks of the same table. Its view keeps the columns that it was made with.
SELECT ai.create_vectorizer('app.doc', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none());

-- A new column, and one that is there.
SELECT ai.create_vectorizer('app.doc', destination => ai.destination_column('Vec 1'), loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 2), chunking => ai.chunking_none(), scheduling => ai.scheduling_none());
ALTER TABLE app.doc ADD vec_2 vector(2);
SELECT ai.create_vectorizer('app.doc', destination => ai.destination_column('vec_2'), loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 2), chunking => ai.chunking_none(), scheduling => ai.scheduling_none());
SELECT * FROM pg_temp.columns_of('app.doc');
SELECT attname, attstorage FROM pg_attribute WHERE attrelid = 'app.doc'::regclass AND attname IN ('Vec 1', 'vec_2') ORDER BY 1;
SELECT id, name, target_table, view, embedding_column FROM ai.vectorizer_status ORDER BY id;
SELECT config -> 'destination' FROM ai.vectorizer WHERE id = 102;
-- Two cannot write into one column.
SELECT pg_temp.error_of(pg_temp.into_column($$ai.destination_column('vec_2')$$, more => $$, name => 'again'$$));
SELECT pg_temp.error_of(pg_temp.into_column($$ai.destination_column('vec_2')$$));

-- With them a third, that writes chunks.
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 111;
CREATE FUNCTION pg_temp.queued() RETURNS TABLE ("101" text, "102" text, "103" text) LANGUAGE sql AS $$
    SELECT ai._take_in(id) FROM generate_series(101, 103) AS id;
    SELECT (SELECT string_agg(id || ' v' || version, ', ' ORDER BY id) FROM ai._vectorizer_q_101),
           (SELECT string_agg(id || ' v' || version, ', ' ORDER BY id) FROM ai._vectorizer_q_102),
           (SELECT string_agg(id || ' v' || version, ', ' ORDER BY id) FROM ai._vectorizer_q_103)
$$;
CREATE FUNCTION pg_temp.work() RETURNS void LANGUAGE sql AS $$
    DELETE FROM ai._vectorizer_q_101; DELETE FROM ai._vectorizer_intake_101;
    DELETE FROM ai._vectorizer_q_102; DELETE FROM ai._vectorizer_intake_102;
    DELETE FROM ai._vectorizer_q_103; DELETE FROM ai._vectorizer_intake_103;
$$;
INSERT INTO app.doc (id, body) VALUES (1, 'one'), (2, 'two');
SELECT * FROM pg_temp.queued();
SELECT pg_temp.work();
-- Vectors are no news, whoever writes them.
UPDATE app.doc SET "Vec 1" = '[1,0]', vec_2 = '[0,1]';
UPDATE app.doc SET vec_2 = NULL WHERE id = 1;
UPDATE app.doc SET body = body, vec_2 = '[1,1]';
SELECT * FROM pg_temp.queued();
-- All else is, also beside a vector.
UPDATE app.doc SET body = 'uno', "Vec 1" = NULL WHERE id = 1;
UPDATE app.doc SET note = '{}' WHERE id = 2;
SELECT * FROM pg_temp.queued();
-- A changed key, a removed row.
SELECT pg_temp.work();
UPDATE app.doc SET id = 20 WHERE id = 2;
DELETE FROM app.doc WHERE id = 1;
SELECT * FROM pg_temp.queued();
DELETE FROM app.doc;
SELECT * FROM pg_temp.queued();
INSERT INTO app.doc (id) VALUES (3);
TRUNCATE app.doc;
SELECT * FROM pg_temp.queued();

-- Dropping keeps the column, drop_all takes it with it; the others know.
INSERT INTO app.doc (id, body) VALUES (1, 'one');
SELECT ai.drop_vectorizer(102);
SELECT ai._take_in(101), ai._take_in(103);
DELETE FROM ai._vectorizer_q_101;
DELETE FROM ai._vectorizer_q_103;
SELECT column_name FROM information_schema.columns WHERE table_schema = 'app' AND table_name = 'doc' ORDER BY ordinal_position;
-- The column is now like any other.
UPDATE app.doc SET "Vec 1" = '[1,1]';
SELECT ai._take_in(101), ai._take_in(103);
SELECT (SELECT count(*) FROM ai._vectorizer_q_101) AS "101", (SELECT count(*) FROM ai._vectorizer_q_103) AS "103";
SELECT ai.drop_vectorizer('app_doc_vec_2', drop_all => true);
SELECT column_name FROM information_schema.columns WHERE table_schema = 'app' AND table_name = 'doc' ORDER BY ordinal_position;
UPDATE app.doc SET body = 'two';
SELECT ai._take_in(101);
SELECT id, version FROM ai._vectorizer_q_101;
-- if_not_exists finds it by its derived name.
SELECT ai.create_vectorizer('app.doc', destination => ai.destination_column('Vec 1'), loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 2), chunking => ai.chunking_none(), scheduling => ai.scheduling_none());
SELECT ai.create_vectorizer('app.doc', destination => ai.destination_column('Vec 1'), loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 2), chunking => ai.chunking_none(), scheduling => ai.scheduling_none(), if_not_exists => true);
-- The column goes by hand: the vectorizer says so, writes go on.
ALTER TABLE app.doc DROP "Vec 1";
UPDATE app.doc SET body = 'three';
SELECT ai.drop_vectorizer('app_doc_vec_1', drop_all => true);
ROLLBACK;
