-- Takes over the vectorizers that pgai (0.10 to 0.12) made in this database: tables of chunks, views, columns of vectors,
-- their grants and what waits in the queues stay; nothing is embedded again. docs/coming-from-pgai.md tells what to do
-- before and after. For a superuser:
--
--   psql -d DATABASE -f docs/adopt-pgai.sql
--
-- One transaction. pgai's own objects are kept in a schema named pgai. A vectorizer that cannot be taken over yet is
-- named with the reason and stays as it is; run the script again when the reason is gone.
\set ON_ERROR_STOP on
\set QUIET on
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL search_path = pg_catalog, pg_temp;

DO $check$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RAISE EXCEPTION 'only a superuser may adopt vectorizers' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF to_regclass('pgai.vectorizer') IS NOT NULL AND to_regclass('ai._vectorizer') IS NOT NULL THEN
        -- Not the first time.
        RETURN;
    END IF;
    IF to_regclass('ai._vectorizer') IS NOT NULL THEN
        RAISE EXCEPTION 'there is nothing to adopt: the schema ai is not pgai''s';
    END IF;
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'ai') THEN
        RAISE EXCEPTION 'the extension ai of pgai is in this database'
            USING HINT = 'Bring pgai up to date (pgai install), then DROP EXTENSION ai: vectorizers are not part of it.';
    END IF;
    IF to_regclass('ai.vectorizer') IS NULL OR to_regclass('ai.pgai_lib_version') IS NULL
        OR NOT EXISTS (SELECT FROM pg_attribute
                       WHERE attrelid = to_regclass('ai.vectorizer') AND attname = 'name' AND NOT attisdropped) THEN
        RAISE EXCEPTION 'there is no pgai of version 0.10 to 0.12 in this database'
            USING HINT = 'Bring an older pgai up to date first: pgai install.';
    END IF;
    IF to_regnamespace('pgai') IS NOT NULL THEN
        RAISE EXCEPTION 'a schema named pgai exists already' USING HINT = 'Rename it.';
    END IF;
    ALTER SCHEMA ai RENAME TO pgai;
END
$check$;

CREATE EXTENSION IF NOT EXISTS ai;

CREATE TEMPORARY TABLE adoption (id int, name name, outcome text, pending bigint, remark text) ON COMMIT DROP;

DO $adopt$
DECLARE
    vectorizer record;
    given record;
    job record;
    source regclass;
    function regprocedure;
    old_queue regclass;
    old_failed regclass;
    settings jsonb;
    reaches text;
    reason text;
BEGIN
    FOR vectorizer IN
        SELECT p.*, CASE p.queue_schema WHEN 'ai' THEN 'pgai' ELSE p.queue_schema END AS queue_is_in
        FROM pgai.vectorizer p
        WHERE NOT EXISTS (SELECT FROM ai._vectorizer v WHERE v.id = p.id)
        ORDER BY p.id
    LOOP
        function := NULL;
        BEGIN
            source := to_regclass(format('%I.%I', vectorizer.source_schema, vectorizer.source_table));
            IF source IS NULL THEN
                RAISE EXCEPTION 'the table %.% does not exist', vectorizer.source_schema, vectorizer.source_table;
            END IF;
            -- pgai lets others than owners write to its catalogue: names in it are believed only as far as they fit.
            SELECT t.tgfoid INTO function FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
            WHERE t.tgrelid = source AND t.tgname = vectorizer.trigger_name AND p.proname = t.tgname
              AND t.tgname = '_vectorizer_src_trg_' || vectorizer.id;
            IF function IS NULL THEN
                RAISE EXCEPTION 'pgai''s trigger % on % is gone, so that changes may have been missed',
                    vectorizer.trigger_name, source;
            END IF;
            old_queue := to_regclass(format('%I.%I', vectorizer.queue_is_in, vectorizer.queue_table));
            IF old_queue IS NULL THEN
                RAISE EXCEPTION 'the queue %.% does not exist', vectorizer.queue_is_in, vectorizer.queue_table;
            END IF;
            old_failed := to_regclass(format('%I.%I', vectorizer.queue_is_in, vectorizer.queue_failed_table));
            IF EXISTS (SELECT FROM pg_class q, pg_class s
                       WHERE q.oid IN (old_queue, old_failed) AND s.oid = source
                         AND NOT pg_has_role(q.relowner, s.relowner, 'MEMBER')) THEN
                RAISE EXCEPTION 'the queue %.% belongs to somebody who does not own %',
                    vectorizer.queue_is_in, vectorizer.queue_table, source;
            END IF;

            -- Waits for who writes to the source; whoever comes later fires our triggers.
            EXECUTE format('DROP TRIGGER %I ON %s', vectorizer.trigger_name, source);
            EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', vectorizer.trigger_name || '_truncate', source);
            IF vectorizer.queue_is_in <> 'pgai' THEN
                -- Our queue is called as pgai's was, which makes room for it. The numbers make the names unique.
                EXECUTE format('ALTER FUNCTION %s SET SCHEMA pgai', function);
                EXECUTE format('ALTER TABLE %s SET SCHEMA pgai', old_queue);
                IF vectorizer.queue_table <> '_vectorizer_q_' || vectorizer.id THEN
                    EXECUTE format('ALTER TABLE %s RENAME TO %I', old_queue, '_vectorizer_q_' || vectorizer.id);
                END IF;
                IF old_failed IS NOT NULL THEN
                    EXECUTE format('ALTER TABLE %s SET SCHEMA pgai', old_failed);
                END IF;
            END IF;

            -- Without TimescaleDB pgai writes down no schedule, and its worker does the work all the same. Here that is
            -- called the default; no schedule means no work.
            settings := jsonb_set(vectorizer.config, '{scheduling}',
                CASE vectorizer.config #>> '{scheduling,implementation}'
                    WHEN 'none' THEN ai.scheduling_default()
                    ELSE (vectorizer.config -> 'scheduling') - 'job_id'
                END);
            reaches := ai._adopt_vectorizer(
                vectorizer.id, vectorizer.name::text, source, settings, vectorizer.disabled,
                vectorizer.queue_schema::text, vectorizer.queue_table::text, old_queue::text, old_failed::text);

            FOR given IN
                SELECT n.name AS new, a.privilege_type, a.is_grantable,
                       CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
                FROM ai._vectorizer v
                CROSS JOIN LATERAL (VALUES (old_queue, v.queue), (old_failed, v.queue_failed)) AS n (old, name)
                JOIN pg_class c ON c.oid = n.old
                CROSS JOIN LATERAL aclexplode(c.relacl) a
                WHERE v.id = vectorizer.id AND a.grantee <> c.relowner
            LOOP
                EXECUTE format('GRANT %s ON %s TO %s', given.privilege_type, given.new, given.grantee)
                    || CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END;
            END LOOP;
            FOR job IN
                SELECT n.nspname, (vectorizer.config #>> '{scheduling,job_id}')::int AS id
                FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                WHERE e.extname = 'timescaledb' AND vectorizer.config #>> '{scheduling,job_id}' IS NOT NULL
            LOOP
                EXECUTE format('SELECT %I.delete_job(job_id) FROM timescaledb_information.jobs
                    WHERE job_id = $1 AND proc_name = ''_vectorizer_job''', job.nspname) USING job.id;
            END LOOP;
            INSERT INTO pg_temp.adoption
            VALUES (vectorizer.id, vectorizer.name, 'adopted', ai.vectorizer_queue_pending(vectorizer.id, true),
                'disabled until you have looked at ' || reaches);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS reason = MESSAGE_TEXT;
            INSERT INTO pg_temp.adoption VALUES (vectorizer.id, vectorizer.name, 'stays with pgai', NULL, reason);
            -- It goes on filling its queue, which it knows by the old name of the schema.
            IF function IS NOT NULL THEN
                EXECUTE regexp_replace(pg_get_functiondef(function), '\mai\.(vectorizer\M|_vectorizer_)', 'pgai.\1', 'g');
            END IF;
        END;
    END LOOP;
    PERFORM setval('ai.vectorizer_id_seq', greatest(
        (SELECT last_value FROM pgai.vectorizer_id_seq), (SELECT max(v.id) FROM ai._vectorizer v),
        (SELECT last_value FROM ai.vectorizer_id_seq)));
END
$adopt$;

SELECT id, name, outcome, pending, remark FROM pg_temp.adoption ORDER BY id;
COMMIT;
