-- Renamed and moved: what users write still arrives, and the catalogue shows the names of today.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE SCHEMA app;
CREATE TABLE app.doc (tenant int, id int, body text, title text, PRIMARY KEY (id, tenant));
INSERT INTO app.doc VALUES (1, 1, 'one', 'One');
ALTER SEQUENCE ai.vectorizer_id_seq RESTART 101;
SELECT ai.create_vectorizer('app.doc', name => 'chunks', loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('m', 2), scheduling => ai.scheduling_none(), queue_schema => 'app',
    formatting => ai.formatting_python_template('$$body ${title}s $title: $chunk'));
SELECT ai.create_vectorizer('app.doc', name => 'vectors', destination => ai.destination_column('vec'),
    loading => ai.loading_column('title'), chunking => ai.chunking_none(), embedding => ai.embedding_openai('m', 2),
    scheduling => ai.scheduling_none(), queue_schema => 'app');
-- A chunk, as if a worker had been there, and empty queues.
CREATE FUNCTION pg_temp.work() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    target regclass = (SELECT target_table FROM ai.vectorizer_status WHERE id = 101);
BEGIN
    PERFORM ai._take_in(101), ai._take_in(102);
    EXECUTE format('DELETE FROM %s', target);
    EXECUTE format('INSERT INTO %s VALUES (gen_random_uuid(), 1, 1, 0, ''text'', ''[1,0]'')', target);
    EXECUTE (SELECT format('DELETE FROM %I.%I', queue_schema, queue_table) FROM ai.vectorizer WHERE id = 101);
    EXECUTE (SELECT format('DELETE FROM %I.%I', queue_schema, queue_table) FROM ai.vectorizer WHERE id = 102);
END
$$;
-- What a change, and then a removal, leave in queues and target; and what the catalogue says.
CREATE FUNCTION pg_temp.follows(change text, removal text) RETURNS TABLE (changed text, removed text) LANGUAGE plpgsql AS $$
DECLARE
    counts text = (SELECT format('SELECT (SELECT count(*) FROM %I.%I) || '' queued, '' || (SELECT count(*) FROM %s)', queue_schema, queue_table, target_table)
                   FROM ai.vectorizer JOIN ai.vectorizer_status USING (id) WHERE id = 101)
                  || (SELECT format(' || '' chunks, '' || (SELECT count(*) FROM %I.%I) || '' queued''', queue_schema, queue_table) FROM ai.vectorizer WHERE id = 102);
BEGIN
    PERFORM pg_temp.work();
    EXECUTE change;
    PERFORM ai._take_in(101), ai._take_in(102);
    EXECUTE counts INTO changed;
    EXECUTE removal;
    PERFORM ai._take_in(101), ai._take_in(102);
    EXECUTE counts INTO removed;
    RETURN NEXT;
    RAISE EXCEPTION USING ERRCODE = 'OK000', MESSAGE = changed || '; ' || removed;
EXCEPTION
    WHEN SQLSTATE 'OK000' THEN
        RETURN;
END
$$;
CREATE VIEW pg_temp.names AS
SELECT id, source_schema, v.source_table, queue_schema, queue_table, queue_failed_table,
       (SELECT string_agg(k ->> 'attname', ', ') FROM jsonb_array_elements(source_pk) AS k) AS key,
       config #>> '{loading,column_name}' AS document, config #>> '{formatting,template}' AS template,
       config -> 'destination' AS destination, view, target_table, embedding_column
FROM ai.vectorizer v JOIN ai.vectorizer_status USING (id);
\x on
SELECT * FROM pg_temp.names ORDER BY id;
SELECT * FROM pg_temp.follows($$UPDATE app.doc SET body = 'two'$$, 'DELETE FROM app.doc');

-- The tables, the view, and the schema.
ALTER TABLE app.doc RENAME TO "Document's";
SELECT * FROM pg_temp.follows($$UPDATE app."Document's" SET body = 'two'$$, $$DELETE FROM app."Document's"$$);
ALTER TABLE app.doc_embedding_store RENAME TO store;
ALTER VIEW app.doc_embedding RENAME TO shown;
ALTER TABLE app._vectorizer_q_101 RENAME TO queue;
ALTER TABLE app._vectorizer_q_failed_101 RENAME TO queue_failed;
ALTER TABLE app._vectorizer_q_102 RENAME TO queue_2;
SELECT * FROM pg_temp.follows($$UPDATE app."Document's" SET body = 'two'$$, $$DELETE FROM app."Document's"$$);
CREATE SCHEMA other;
ALTER TABLE app.store SET SCHEMA other;
ALTER VIEW app.shown SET SCHEMA other;
ALTER TABLE app."Document's" SET SCHEMA other;
ALTER TABLE app.queue_2 SET SCHEMA other;
ALTER SCHEMA app RENAME TO moved;
SELECT * FROM pg_temp.follows($$UPDATE other."Document's" SET body = 'two'$$, $$TRUNCATE other."Document's"$$);
SELECT * FROM pg_temp.names ORDER BY id;

-- Columns: of the key, the document, the template, the vectors.
ALTER TABLE other."Document's" RENAME id TO "no.";
ALTER TABLE other."Document's" RENAME tenant TO id;
ALTER TABLE other."Document's" RENAME body TO text;
ALTER TABLE other."Document's" RENAME title TO body;
ALTER TABLE other."Document's" RENAME vec TO "a vector";
SELECT * FROM pg_temp.names ORDER BY id;
SELECT source_pk FROM ai.vectorizer WHERE id = 101;
SELECT * FROM pg_temp.follows($$UPDATE other."Document's" SET text = 'two'$$, $$DELETE FROM other."Document's"$$);
SELECT * FROM pg_temp.follows($$UPDATE other."Document's" SET "no." = 7$$, $$DELETE FROM other."Document's" WHERE id = 1$$);
SELECT * FROM pg_temp.follows($$UPDATE other."Document's" SET "a vector" = '[1,0]'$$, 'SELECT 1');
-- Back and forth.
ALTER TABLE other."Document's" RENAME id TO tenant;
ALTER TABLE other."Document's" RENAME "no." TO id;
SELECT * FROM pg_temp.follows($$UPDATE other."Document's" SET id = 7$$, $$DELETE FROM other."Document's" WHERE tenant = 1$$);
SELECT source_pk FROM ai.vectorizer WHERE id = 101;
-- By a function, and undone.
SAVEPOINT before;
DO $$ BEGIN ALTER TABLE other."Document's" RENAME text TO words; END $$;
SELECT document FROM pg_temp.names WHERE id = 101;
ROLLBACK TO before;
SELECT document FROM pg_temp.names WHERE id = 101;
-- A name that no template can contain.
SELECT pg_temp.error_of('ALTER TABLE other."Document''s" RENAME body TO "my text"');
SELECT pg_temp.error_of('ALTER TABLE other."Document''s" RENAME body TO chunk');
SELECT pg_temp.error_of('ALTER TABLE other."Document''s" RENAME body TO "Überschrift"');

-- Columns come and go.
ALTER TABLE other."Document's" ADD note text;
SELECT * FROM pg_temp.follows($$UPDATE other."Document's" SET note = 'some'$$, $$DELETE FROM other."Document's"$$);
ALTER TABLE other."Document's" DROP note;
SELECT * FROM pg_temp.follows($$UPDATE other."Document's" SET text = 'two'$$, $$DELETE FROM other."Document's"$$);
-- All of it can be dropped by the names of today.
SELECT ai.drop_vectorizer('vectors', drop_all => true);
SELECT ai.drop_vectorizer('chunks', drop_all => true);
SELECT attname FROM pg_attribute WHERE attrelid = 'other."Document''s"'::regclass AND attnum > 0 AND NOT attisdropped;
SELECT relnamespace::regnamespace, relname FROM pg_class WHERE relnamespace IN ('other'::regnamespace, 'moved'::regnamespace) AND relkind IN ('r', 'v');
ROLLBACK;
