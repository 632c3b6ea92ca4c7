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
DECLARE
    -- Its own table, and no other relation of that name.
    is_installed boolean := EXISTS (
        SELECT FROM pg_extension e
        JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
        WHERE e.extname = 'ai' AND d.classid = 'pg_class'::regclass AND d.objid = to_regclass('ai._vectorizer'));
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RAISE EXCEPTION 'only a superuser may adopt vectorizers' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF to_regclass('pgai.vectorizer') IS NOT NULL AND is_installed THEN
        -- Not the first time.
        RETURN;
    END IF;
    IF is_installed THEN
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

CREATE TEMPORARY TABLE adoption (id int, name text, outcome text, pending bigint, remark text) ON COMMIT DROP;

DO $adopt$
DECLARE
    ids int[];
    names text[];
    vectorizer record;
    reaches text;
    parsed text;
    reason text;
BEGIN
    -- All of them at once: code of owners runs from here on, and nothing that is still to come hangs on it.
    SELECT array_agg(p.id ORDER BY p.id), array_agg(p.name ORDER BY p.id) INTO ids, names
    FROM ai._pgai_vectorizers() p
    WHERE NOT EXISTS (SELECT FROM ai._vectorizer v WHERE v.id = p.id);
    FOR place IN 1 .. coalesce(cardinality(ids), 0) LOOP
        SELECT ids[place] AS id, names[place] AS name INTO vectorizer;
        BEGIN
            -- What the row names is looked at there, and touched as the owner of the source table.
            reaches := ai._adopt_vectorizer(vectorizer.id);
            -- pgai's parsers make another text of a PDF: docs/coming-from-pgai.md, "Documents that are parsed".
            SELECT format('parsed documents may get other chunks when their rows are touched, these: SELECT * FROM ai.verify_vectorizer(%L)',
                          v.name) INTO parsed
            FROM ai._vectorizer v
            WHERE v.id = vectorizer.id
              AND (v.config #>> '{loading,implementation}' = 'uri' AND v.config #>> '{parsing,implementation}' <> 'none'
                   OR EXISTS (SELECT FROM pg_attribute a
                              WHERE a.attrelid = v.source AND a.attname = v.config #>> '{loading,column_name}'
                                AND a.atttypid = 'bytea'::regtype));
            INSERT INTO pg_temp.adoption
            VALUES (vectorizer.id, vectorizer.name, 'adopted', ai.vectorizer_queue_pending(vectorizer.id, true),
                nullif(concat_ws('; ', 'disabled until you have looked at ' || reaches, parsed), ''));
        -- Code of its owner says what it fails with, which OTHERS does not cover.
        EXCEPTION WHEN OTHERS OR assert_failure THEN
            GET STACKED DIAGNOSTICS reason = MESSAGE_TEXT;
            BEGIN
                -- It goes on filling its queue.
                PERFORM ai._leave_vectorizer(vectorizer.id);
            EXCEPTION WHEN OTHERS OR assert_failure THEN
                reason := reason || '; and its queue cannot be brought back to the schema ai: ' || SQLERRM;
            END;
            INSERT INTO pg_temp.adoption VALUES (vectorizer.id, vectorizer.name, 'stays with pgai', NULL, reason);
        END;
    END LOOP;
END
$adopt$;

SELECT id, name, outcome, pending, remark FROM pg_temp.adoption ORDER BY id;
COMMIT;
