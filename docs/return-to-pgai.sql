-- Takes back what adopt-pgai.sql did: pgai's schema gets its name, its triggers and what waits in the queues back, and the
-- extension is dropped. What was embedded in the meantime stays. For a superuser:
--
--   psql -d DATABASE -f docs/return-to-pgai.sql
\set ON_ERROR_STOP on
\set QUIET on
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL search_path = pg_catalog, pg_temp;

DO $return$
DECLARE
    vectorizer record;
    function regprocedure;
    names text;
    key text;
BEGIN
    IF to_regclass('pgai.vectorizer') IS NULL OR to_regclass('ai._vectorizer') IS NULL THEN
        RAISE EXCEPTION 'there is nothing to return: no schema pgai of docs/adopt-pgai.sql';
    END IF;
    SELECT string_agg(v.name, ', ' ORDER BY v.name) INTO names FROM ai._vectorizer v
    WHERE NOT EXISTS (SELECT FROM pgai.vectorizer p WHERE p.id = v.id AND p.name = v.name);
    IF names IS NOT NULL THEN
        RAISE EXCEPTION 'pgai does not know these vectorizers: %', names USING HINT = 'Drop them with ai.drop_vectorizer.';
    END IF;
    FOR vectorizer IN
        SELECT p.*, v.source, v.queue, v.disabled AS is_disabled FROM pgai.vectorizer p JOIN ai._vectorizer v USING (id)
    LOOP
        SELECT string_agg(quote_ident(pk.value ->> 'attname'), ', ' ORDER BY pk.number),
               string_agg(quote_ident(coalesce(pk.value ->> 'queued', pk.value ->> 'attname')), ', ' ORDER BY pk.number)
        INTO names, key
        FROM ai._vectorizer v, jsonb_array_elements(v.source_pk) WITH ORDINALITY AS pk (value, number)
        WHERE v.id = vectorizer.id;
        -- Nobody writes to the source from here on, so that nothing is missed between our triggers and pgai's.
        EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', vectorizer.source);
        PERFORM ai._take_in(vectorizer.id);
        EXECUTE format('DELETE FROM pgai.%I',
            CASE vectorizer.queue_schema WHEN 'ai' THEN vectorizer.queue_table ELSE '_vectorizer_q_' || vectorizer.id END);
        EXECUTE format('INSERT INTO pgai.%I (%s) SELECT %s FROM %s',
            CASE vectorizer.queue_schema WHEN 'ai' THEN vectorizer.queue_table ELSE '_vectorizer_q_' || vectorizer.id END,
            names, key, vectorizer.queue);
        UPDATE pgai.vectorizer p SET disabled = vectorizer.is_disabled WHERE p.id = vectorizer.id;
        PERFORM ai.drop_vectorizer(vectorizer.id);
        IF vectorizer.queue_schema <> 'ai' THEN
            EXECUTE format('ALTER TABLE pgai.%I RENAME TO %I', '_vectorizer_q_' || vectorizer.id, vectorizer.queue_table);
            EXECUTE format('ALTER TABLE pgai.%I SET SCHEMA %I', vectorizer.queue_table, vectorizer.queue_schema);
            IF to_regclass(format('pgai.%I', vectorizer.queue_failed_table)) IS NOT NULL THEN
                EXECUTE format('ALTER TABLE pgai.%I SET SCHEMA %I', vectorizer.queue_failed_table, vectorizer.queue_schema);
            END IF;
            EXECUTE format('ALTER FUNCTION pgai.%I() SET SCHEMA %I', vectorizer.trigger_name, vectorizer.queue_schema);
        END IF;
        function := format('%I.%I()',
            CASE vectorizer.queue_schema WHEN 'ai' THEN 'pgai' ELSE vectorizer.queue_schema END, vectorizer.trigger_name);
        EXECUTE format('CREATE TRIGGER %I AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION %s',
            vectorizer.trigger_name, vectorizer.source, function);
        EXECUTE format('CREATE TRIGGER %I AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s',
            vectorizer.trigger_name || '_truncate', vectorizer.source, function);
    END LOOP;
    -- Those that stayed with pgai know its schema by the new name.
    FOR function IN
        SELECT p.oid FROM pg_proc p JOIN pgai.vectorizer v ON p.proname = v.trigger_name
        WHERE p.prosrc ~ '\mpgai\.(vectorizer\M|_vectorizer_)'
    LOOP
        EXECUTE regexp_replace(pg_get_functiondef(function), '\mpgai\.(vectorizer\M|_vectorizer_(?!src_trg_))', 'ai.\1', 'g');
    END LOOP;
END
$return$;

DROP EXTENSION ai;
DROP SCHEMA ai;
ALTER SCHEMA pgai RENAME TO ai;
COMMIT;
