\echo Use "ALTER EXTENSION ai UPDATE" to load this file. \quit

-- Of what anybody may have made, nothing is found but by its full name; not even operators of the schemas of extensions.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Documents come in every script, and the library speaks UTF-8 at all its borders with Postgres. Stored as the bytes of another
-- encoding, what it writes would be other text, and what it reads would be none.
DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.<>) 'UTF8'::pg_catalog.name THEN
        RAISE EXCEPTION 'the encoding of this database is %, but ai needs UTF8', pg_catalog.getdatabaseencoding()
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Move the data to a database that was made with CREATE DATABASE ... TEMPLATE template0 ENCODING ''UTF8'': pg_dump and psql convert it.';
    END IF;
END
$$;

-- What version 0.1.0 found in a schema of its name it took for its own: an overload of one of its functions, above all. Trigger
-- functions are those of vectorizers.
DO $$
DECLARE
    intruder text;
BEGIN
    SELECT p.oid::pg_catalog.regprocedure::text INTO intruder
    FROM pg_catalog.pg_proc p
    WHERE p.pronamespace OPERATOR(pg_catalog.=) 'ai'::pg_catalog.regnamespace
      AND p.prorettype OPERATOR(pg_catalog.<>) 'pg_catalog.trigger'::pg_catalog.regtype
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
                        AND d.objid OPERATOR(pg_catalog.=) p.oid AND d.deptype OPERATOR(pg_catalog.=) 'e')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the schema ai has a function that is not of the extension: %', intruder
            USING ERRCODE = 'duplicate_object', HINT = 'Look at it and at who made it, and drop it.';
    END IF;
END
$$;

-- Vectorizers are altered below: the event trigger would follow with functions that are not there yet.
DROP EVENT TRIGGER ai_after_ddl;

-- The scripts that adopt vectorizers of pgai name them by their ids: what pgai's catalogue says of them is looked at here.

DROP FUNCTION ai._adopt_vectorizer(int4, text, regclass, jsonb, bool, text, text, text, text);
CREATE FUNCTION ai._pgai_vectorizers() RETURNS TABLE (id int4, name text)
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pgai_vectorizers_wrapper';
COMMENT ON FUNCTION ai._pgai_vectorizers() IS 'The vectorizers in pgai''s catalogue.';
REVOKE EXECUTE ON FUNCTION ai._pgai_vectorizers() FROM PUBLIC;

CREATE FUNCTION ai._adopt_vectorizer(vectorizer_id int4) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'adopt_vectorizer_wrapper';
COMMENT ON FUNCTION ai._adopt_vectorizer(int4) IS
    'Makes the vectorizer of a row of pgai''s catalogue over the destination that is there; says what of its configuration is for superusers to choose.';
REVOKE EXECUTE ON FUNCTION ai._adopt_vectorizer(int4) FROM PUBLIC;

CREATE FUNCTION ai._leave_vectorizer(vectorizer_id int4) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'leave_vectorizer_wrapper';
COMMENT ON FUNCTION ai._leave_vectorizer(int4) IS
    'Brings the queue of a vectorizer that stays with pgai back to where its trigger knows it.';
REVOKE EXECUTE ON FUNCTION ai._leave_vectorizer(int4) FROM PUBLIC;

CREATE FUNCTION ai._return_vectorizer(vectorizer_id int4) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'return_vectorizer_wrapper';
COMMENT ON FUNCTION ai._return_vectorizer(int4) IS 'Gives a vectorizer, and what waits in its queue, back to pgai.';
REVOKE EXECUTE ON FUNCTION ai._return_vectorizer(int4) FROM PUBLIC;

-- pg_upgrade refuses tables with numbers of functions, which it does not keep.

ALTER TABLE ai._vectorizer ALTER COLUMN trigger_function TYPE text USING trigger_function::oid::text;
UPDATE ai._vectorizer v
SET trigger_function = pg_catalog.format('%I.%I', n.nspname, p.proname)
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
WHERE p.oid::text OPERATOR(pg_catalog.=) v.trigger_function;

-- Partitions are followed.

ALTER TABLE ai._vectorizer ADD COLUMN partitions oid[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN ai._vectorizer.partitions IS
    'The partitions of the source that have been dealt with: the rows of another are work.';

-- Triggers write to a table of their own, and the worker fills the queue from it.

ALTER TABLE ai._vectorizer ADD COLUMN intake regclass;
COMMENT ON COLUMN ai._vectorizer.intake IS
    'Where the triggers write down the keys of what has changed, for the worker to put into the queue. NULL in a row of version 0.1.0, until its triggers are made anew.';

-- A vectorizer works for one role, and stands still where its source got another owner unseen. Those that there are work for the
-- owners of now.

ALTER TABLE ai._vectorizer ADD COLUMN owner name, ADD COLUMN owner_place text NOT NULL DEFAULT '';
COMMENT ON COLUMN ai._vectorizer.owner IS
    'The role that it works for: it stands still where its source belongs to another one. NULL in a row of version 0.1.0, until it is read first.';
COMMENT ON COLUMN ai._vectorizer.owner_place IS
    'Where the number of that role holds: cluster and OID. It follows a role that is renamed; in another cluster, or where there is no role of that number, the name holds.';
UPDATE ai._vectorizer v
SET owner = r.rolname, owner_place = pg_catalog.format('%s/%s', c.system_identifier, r.oid)
FROM pg_catalog.pg_class s
JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) s.relowner, pg_catalog.pg_control_system() c
WHERE s.oid OPERATOR(pg_catalog.=) v.source::pg_catalog.oid;

-- For whom a vectorizer works is decided by who owns its source when it is made, and when that changes hands with all that belongs
-- to it. Where the source got another owner in a way that nobody has looked at (REASSIGN OWNED, pg_restore --no-owner, a session
-- without event triggers), what the one before has put on the tables would run as the new one.
CREATE FUNCTION ai._stranger(source oid, owner text, owner_place text) RETURNS text
LANGUAGE c STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'stranger_wrapper';
COMMENT ON FUNCTION ai._stranger(oid, text, text) IS
    'The owner of a source where that is another role than the one that its vectorizer works for; NULL where it is not, or not known.';

CREATE FUNCTION ai._hand_over(vectorizer_id int4) RETURNS bool
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    WITH handed AS (
        UPDATE ai._vectorizer v
        SET owner = r.rolname, owner_place = format('%s/%s', c.system_identifier, r.oid)
        FROM pg_class s JOIN pg_roles r ON r.oid = s.relowner, pg_control_system() c
        WHERE v.id = vectorizer_id AND s.oid = v.source
          AND (v.owner IS DISTINCT FROM r.rolname OR v.owner_place <> format('%s/%s', c.system_identifier, r.oid))
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM handed)
$$;
COMMENT ON FUNCTION ai._hand_over(int4) IS
    'Has a vectorizer work for the owner of its source from now on, when what is on its tables was looked at.';
REVOKE EXECUTE ON FUNCTION ai._hand_over(int4) FROM PUBLIC;

-- Who sees a vectorizer: a role that owns its source, may SELECT from its queue (grant_to of ai.create_vectorizer),
-- or may SELECT from the table above, which sees all (superusers, pg_monitor, ai.grant_vectorizer_usage). Postgres knows
-- how to grant, show, dump and revoke each of them. Functions that run as their caller read this, not the table.
CREATE VIEW ai._seen_vectorizer WITH (security_barrier) AS
SELECT v.id, v.name, v.source, v.source_pk, v.queue, v.queue_failed, v.target, v.view, v.trigger_function, v.trigger_name,
       v.config, v.disabled, v.partitions, v.intake,
       ai._stranger(v.source::pg_catalog.oid, v.owner::pg_catalog.text, v.owner_place) AS stranger
FROM ai._vectorizer v
LEFT JOIN pg_catalog.pg_class s ON s.oid OPERATOR(pg_catalog.=) v.source::pg_catalog.oid
WHERE pg_catalog.has_table_privilege('ai._vectorizer'::pg_catalog.regclass, 'SELECT')
   OR pg_catalog.pg_has_role(s.relowner, 'MEMBER')
   OR pg_catalog.has_table_privilege(v.queue::pg_catalog.oid, 'SELECT');
COMMENT ON VIEW ai._seen_vectorizer IS 'The vectorizers that the current role sees.';

CREATE FUNCTION ai._partitions(source regclass) RETURNS SETOF oid
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    -- Not pg_partition_tree(), which locks what it finds.
    WITH RECURSIVE part AS (
        SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = source
        UNION ALL
        SELECT i.inhrelid FROM part p JOIN pg_inherits i ON i.inhparent = p.inhrelid
    )
    SELECT p.inhrelid FROM part p ORDER BY p.inhrelid
$$;
COMMENT ON FUNCTION ai._partitions(regclass) IS 'The partitions of a table, and theirs.';

CREATE FUNCTION ai._prune_vectorizer(vectorizer_id int4) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex'
AS 'MODULE_PATHNAME', 'prune_vectorizer_wrapper';
COMMENT ON FUNCTION ai._prune_vectorizer(int4) IS
    'Removes chunks and queue rows of documents that are not in the source. Called when a partition is emptied or leaves.';

-- A vectorizer that has lost its triggers says so.

CREATE FUNCTION ai._append_change() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'append_change';
COMMENT ON FUNCTION ai._append_change() IS
    'The trigger by row on the source of the vectorizer that is its argument: writes down the primary key of a row that is new or has changed.';

-- Not to_regprocedure(), which raises an ERROR for a text that is no name, and for a schema that the caller may not look into: one
-- row of a dump that was changed by hand would fail every statement about all vectorizers.
CREATE FUNCTION ai._trigger_function(name text) RETURNS oid
LANGUAGE c STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'trigger_function_wrapper';
COMMENT ON FUNCTION ai._trigger_function(text) IS
    'The function without arguments of this name, with its schema, as it is written down of a vectorizer; NULL where there is none.';

CREATE VIEW ai._watched_vectorizer WITH (security_barrier) AS
SELECT v.id,
       count(*) FILTER (WHERE t.tgenabled <> 'D') = CASE s.relkind WHEN 'p' THEN 2 ELSE 3 END AS is_watched
FROM ai._seen_vectorizer v
JOIN pg_catalog.pg_class s ON s.oid = v.source
LEFT JOIN pg_catalog.pg_trigger t ON t.tgrelid = v.source
    AND (t.tgfoid = ai._trigger_function(v.trigger_function) AND t.tgname <> v.trigger_name || '_replica'
         OR t.tgfoid = 'ai._append_change'::pg_catalog.regproc AND t.tgname = v.trigger_name)
GROUP BY v.id, s.relkind;
COMMENT ON VIEW ai._watched_vectorizer IS
    'Whether all triggers of a vectorizer are on its source and enabled, for those that have one.';

CREATE FUNCTION ai._is_watched(vectorizer_id int4) RETURNS bool
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT w.is_watched FROM ai._watched_vectorizer w WHERE w.id = vectorizer_id
$$;
COMMENT ON FUNCTION ai._is_watched(int4) IS
    'Whether all triggers of a vectorizer are on its source and enabled; NULL where there is no source.';

-- The worker may be gone while all documents wait.

CREATE FUNCTION ai._waiting(vectorizer_id int4) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'waiting_wrapper';
COMMENT ON FUNCTION ai._waiting(int4) IS 'Until when all documents of a queue wait for their next tries; NULL when there is one that does not.';

CREATE FUNCTION ai._missing_keys(OUT id int4, OUT name text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'missing_keys_wrapper';
COMMENT ON FUNCTION ai._missing_keys() IS
    'The variables that vectorizers read their keys from, where the environment of the server lacks them.';

CREATE FUNCTION ai._obstacle(
    vectorizer_id int4, launcher text, disabled bool, scheduling text, is_watched bool, paused text, retry_at timestamptz,
    missing_key text, next_run timestamptz, pending int8) RETURNS text
LANGUAGE sql VOLATILE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN launcher IS NOT NULL THEN launcher
        WHEN disabled THEN 'the vectorizer is disabled'
        WHEN scheduling = 'none' THEN 'the vectorizer waits for ai.execute_vectorizer: it was made with ai.scheduling_none()'
        WHEN NOT is_watched THEN 'triggers on its source table are missing or disabled'
        WHEN paused IS NOT NULL THEN format('paused until %s: %s', date_trunc('second', retry_at), paused)
        WHEN missing_key IS NOT NULL THEN format('the environment of the server has no %s', missing_key)
        WHEN scheduling = 'timescaledb' THEN
            CASE WHEN next_run > now() THEN format('the next run is at %s', date_trunc('second', next_run)) END
        WHEN pending > 0 OR pending IS NULL THEN ai._waiting(vectorizer_id)
    END
$$;
COMMENT ON FUNCTION ai._obstacle(int4, text, bool, text, bool, text, timestamptz, text, timestamptz, int8) IS
    'Why nothing happens for a vectorizer; NULL when nothing is in the way.';

CREATE FUNCTION ai._objects_altered(classes oid[], altered oid[]) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'objects_altered_wrapper';
COMMENT ON FUNCTION ai._objects_altered(oid[], oid[]) IS
    'Follows objects that were made or altered: what belongs to a vectorizer, and its trigger function. Called by an event trigger.';
REVOKE EXECUTE ON FUNCTION ai._objects_altered(oid[], oid[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ai._after_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    PERFORM ai._objects_altered(array_agg(d.classid), array_agg(d.objid))
    FROM pg_event_trigger_ddl_commands() d WHERE d.objid IS NOT NULL;
END
$$;

CREATE FUNCTION ai._relations_dropped(relations oid[]) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'relations_dropped_wrapper';
COMMENT ON FUNCTION ai._relations_dropped(oid[]) IS
    'Drops the vectorizers that lose one of these relations, and follows what else was dropped. Called by an event trigger.';
REVOKE EXECUTE ON FUNCTION ai._relations_dropped(oid[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ai._after_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    -- The extension itself is being dropped.
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'ai') THEN
        RETURN;
    END IF;
    PERFORM ai._relations_dropped(ARRAY(
        SELECT d.objid FROM pg_event_trigger_dropped_objects() d WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0));
END
$$;

-- `class` is a keyword of Python: psycopg's namedtuple_row refuses a result that has such a column.

ALTER TABLE ai._vectorizer_errors RENAME COLUMN class TO failure_class;
ALTER VIEW ai.vectorizer_errors RENAME COLUMN class TO failure_class;
-- Queues are their owners', who may have made anything of them, or keep them locked: what cannot be altered stays as it is, and its
-- vectorizer is paused by name. It fails the update for nobody else. The first lock is waited for as long as an honest statement may
-- take, and then no other for long.
DO $$
DECLARE
    vectorizer record;
    patience text := pg_catalog.current_setting('lock_timeout');
    taken pg_catalog.regclass;
BEGIN
    IF patience OPERATOR(pg_catalog.=) '0' THEN
        PERFORM pg_catalog.set_config('lock_timeout', '30s', true);
    END IF;
    FOR vectorizer IN
        SELECT v.id, v.name, v.queue, v.queue_failed,
               -- A key column of the new name makes room, as that of a vectorizer that is made now does.
               EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(v.source_pk) AS k
                       WHERE coalesce(k OPERATOR(pg_catalog.->>) 'queued', k OPERATOR(pg_catalog.->>) 'attname')
                             OPERATOR(pg_catalog.=) 'failure_class') AS makes_room
        FROM ai._vectorizer v ORDER BY v.id
    LOOP
        BEGIN
            IF vectorizer.makes_room THEN
                EXECUTE pg_catalog.format('ALTER TABLE %s RENAME COLUMN failure_class TO pk_failure_class', vectorizer.queue);
                EXECUTE pg_catalog.format('ALTER TABLE %s RENAME COLUMN failure_class TO pk_failure_class', vectorizer.queue_failed);
                UPDATE ai._vectorizer v
                SET source_pk = (SELECT pg_catalog.jsonb_agg(
                                     CASE coalesce(k.value OPERATOR(pg_catalog.->>) 'queued', k.value OPERATOR(pg_catalog.->>) 'attname')
                                         WHEN 'failure_class' THEN k.value OPERATOR(pg_catalog.||) '{"queued": "pk_failure_class"}'
                                         ELSE k.value END ORDER BY k.ordinality)
                                 FROM pg_catalog.jsonb_array_elements(v.source_pk) WITH ORDINALITY AS k)
                WHERE v.id OPERATOR(pg_catalog.=) vectorizer.id;
            END IF;
            EXECUTE pg_catalog.format('ALTER TABLE %s RENAME COLUMN class TO failure_class', vectorizer.queue_failed);
            -- The queues of vectorizers that there are become what sql/query/queue/create_queue.sql and its indexes say.
            EXECUTE pg_catalog.format('ALTER TABLE %s SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, '
                                      'autovacuum_vacuum_threshold = 2000)', vectorizer.queue);
            FOR taken IN
                SELECT i.indexrelid FROM pg_catalog.pg_index i
                WHERE i.indrelid OPERATOR(pg_catalog.=) vectorizer.queue::pg_catalog.oid
                  AND pg_catalog.pg_get_expr(i.indpred, i.indrelid) OPERATOR(pg_catalog.=) '(lease IS NULL)'
            LOOP
                EXECUTE pg_catalog.format('DROP INDEX %s', taken);
            END LOOP;
            EXECUTE pg_catalog.format('CREATE INDEX ON %s (backfill, item) WHERE loading_retry_after IS NULL', vectorizer.queue);
            EXECUTE pg_catalog.format('CREATE INDEX ON %s (loading_retry_after) WHERE loading_retry_after IS NOT NULL', vectorizer.queue);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'the tables of vectorizer % are not as version 0.1.0 made them, or locked: it is left as it is', vectorizer.name
                USING DETAIL = pg_catalog.format('SQLSTATE %s', SQLSTATE),
                      HINT = 'Drop the vectorizer with ai.drop_vectorizer, and make it anew.';
            PERFORM pg_catalog.set_config('lock_timeout', '100ms', true);
        END;
    END LOOP;
    PERFORM pg_catalog.set_config('lock_timeout', patience, true);
END
$$;

-- Texts that were longer than their model takes are noted.

-- For the triggers on source tables, which ask with each DELETE.
CREATE INDEX _vectorizer_errors_cut ON ai._vectorizer_errors (id) WHERE failure_class = 'cut';

-- Large documents are embedded in portions.

CREATE TABLE ai._vectorizer_stash (
    id int NOT NULL REFERENCES ai._vectorizer ON DELETE CASCADE,
    item bigint NOT NULL,
    text_key bytea NOT NULL,
    vector bytea NOT NULL,
    PRIMARY KEY (id, item, text_key)
);
ALTER TABLE ai._vectorizer_stash ALTER COLUMN vector SET STORAGE EXTERNAL;
COMMENT ON TABLE ai._vectorizer_stash IS
    'Vectors of documents that are not written yet: because they are too large to be embedded in one go, or because something failed. What is here is not paid for again.';

-- Destinations can be verified.

-- Whether embeddings are what they should be.

CREATE FUNCTION ai._verify_vectorizer(
    vectorizer_id int4, repair bool, OUT primary_key text, OUT chunk_seq int4, OUT problem text, OUT detail text)
    RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex'
AS 'MODULE_PATHNAME', 'verify_vectorizer_wrapper';
COMMENT ON FUNCTION ai._verify_vectorizer(int4, bool) IS
    'The work of ai.verify_vectorizer, row by row: what is wrong is enqueued when the last row has been fetched.';

-- To the last row, however few of them the caller wants: repair comes at the end.
CREATE FUNCTION ai.verify_vectorizer(vectorizer_id int4, repair bool DEFAULT false)
    RETURNS TABLE (primary_key jsonb, chunk_seq int4, problem text, detail text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT f.primary_key::jsonb, f.chunk_seq, f.problem, f.detail FROM ai._verify_vectorizer(vectorizer_id, repair) AS f;
END
$$;
COMMENT ON FUNCTION ai.verify_vectorizer(int4, bool) IS
    'Reads every document of a vectorizer again, without the provider, and lists each difference between its chunks and what they should be; no rows: all is well. What waits is listed as queued, what was given up as failed. With repair, wrong documents are enqueued. For its owner.';

CREATE FUNCTION ai.verify_vectorizer(name text, repair bool DEFAULT false)
    RETURNS TABLE (primary_key jsonb, chunk_seq int4, problem text, detail text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT f.primary_key::jsonb, f.chunk_seq, f.problem, f.detail FROM ai._verify_vectorizer(ai._vectorizer_id(name), repair) AS f;
END
$$;
COMMENT ON FUNCTION ai.verify_vectorizer(text, bool) IS
    'Reads every document of a vectorizer again, without the provider, and lists each difference between its chunks and what they should be; no rows: all is well. What waits is listed as queued, what was given up as failed. With repair, wrong documents are enqueued. For its owner.';

-- What is remembered of documents.

-- A memory is written with the chunks that it is of, and its indexed columns stay: room for that on the same page. Its key
-- is hashed, as above.
CREATE TABLE ai._vectorizer_document (
    id int NOT NULL,
    primary_key jsonb NOT NULL,
    tag text,
    content bytea NOT NULL,
    recipe bytea NOT NULL,
    chunks int NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE UNIQUE INDEX _vectorizer_document_key ON ai._vectorizer_document (id, md5(primary_key::text));
COMMENT ON TABLE ai._vectorizer_document IS
    'What is remembered of documents that are embedded, so that unchanged ones are neither downloaded nor cut again. A row that is missing costs time, nothing else.';
COMMENT ON COLUMN ai._vectorizer_document.tag IS
    'Entity tag of S3 or the web, and the second in which S3 got the object; of a file its size, times and inode. Sent or compared at the next look.';
COMMENT ON COLUMN ai._vectorizer_document.content IS 'Fingerprint of the bytes, and of the media type that came with them.';
COMMENT ON COLUMN ai._vectorizer_document.recipe IS
    'Fingerprint of all else that the chunks depend on: version, configuration, URI, and the columns that the template names.';
COMMENT ON COLUMN ai._vectorizer_document.chunks IS
    'How many chunks it had: where the destination holds another number, the memory does not count.';
SELECT pg_catalog.pg_extension_config_dump('ai._vectorizer_document', '');

CREATE FUNCTION ai._forget_documents(vectorizer_id int4, keys text[]) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'forget_documents_wrapper';
COMMENT ON FUNCTION ai._forget_documents(int4, text[]) IS
    'Forgets what was remembered of the documents with these primary keys, in JSON (NULL: of all), so that they are loaded anew. Called by the triggers on source tables.';

-- For the triggers on source tables, which run as the owners of those. Other roles see nothing.
CREATE VIEW ai._noted_vectorizer WITH (security_barrier) AS
SELECT v.id,
       EXISTS (SELECT FROM ai._vectorizer_errors e
               WHERE e.id OPERATOR(pg_catalog.=) v.id AND e.failure_class OPERATOR(pg_catalog.=) 'cut') AS has_cuts,
       EXISTS (SELECT FROM ai._vectorizer_document d WHERE d.id OPERATOR(pg_catalog.=) v.id) AS remembers_documents
FROM ai._vectorizer v
JOIN pg_catalog.pg_class s ON s.oid OPERATOR(pg_catalog.=) v.source::pg_catalog.oid
WHERE pg_catalog.pg_has_role(s.relowner, 'USAGE');
COMMENT ON VIEW ai._noted_vectorizer IS 'Whether anything is noted of the documents of the vectorizers of the current role.';

-- Documents with such a note are in no queue. Owners of source tables may not read the notes of others.
CREATE FUNCTION ai._has_cuts(vectorizer_id int4) RETURNS bool
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM ai._noted_vectorizer n WHERE n.id = vectorizer_id AND n.has_cuts)
$$;
COMMENT ON FUNCTION ai._has_cuts(int4) IS
    'Whether texts of a vectorizer are noted that were longer than its model takes. Asked by the triggers on source tables.';

-- Spares the triggers the making of keys where nothing is remembered.
CREATE FUNCTION ai._remembers_documents(vectorizer_id int4) RETURNS bool
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM ai._noted_vectorizer n WHERE n.id = vectorizer_id AND n.remembers_documents)
$$;
COMMENT ON FUNCTION ai._remembers_documents(int4) IS
    'Whether anything is remembered of the documents of a vectorizer. Called by the triggers on source tables.';

CREATE OR REPLACE FUNCTION ai._forget_vectorizer() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM ai._vectorizer_errors e WHERE e.id = OLD.id;
    DELETE FROM ai._vectorizer_document d WHERE d.id = OLD.id;
    DELETE FROM ai._vectorizer_run r WHERE r.id = OLD.id;
    RETURN NULL;
END
$$;

-- What was given up is listed, and tried again.

CREATE FUNCTION ai._failed_documents(
    OUT id int4, OUT primary_key text, OUT failure_step text, OUT failure_class text, OUT reason text, OUT attempts int4,
    OUT created_at timestamptz, OUT queued bool) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex'
AS 'MODULE_PATHNAME', 'failed_documents_wrapper';
COMMENT ON FUNCTION ai._failed_documents() IS 'The failed queues that the caller may look into.';

CREATE VIEW ai.vectorizer_failed WITH (security_barrier) AS
SELECT f.id, v.name,
       CASE WHEN pg_catalog.has_table_privilege(v.source::pg_catalog.oid, 'SELECT') THEN f.primary_key::pg_catalog.jsonb END AS primary_key,
       f.failure_step, f.failure_class, f.reason, f.attempts, f.created_at,
       f.queued
FROM ai._failed_documents() f
JOIN ai._vectorizer v ON v.id = f.id;
COMMENT ON VIEW ai.vectorizer_failed IS
    'The documents that were given up, with the reason and the number of tries; queued: it is being tried again. Of each vectorizer for its owner, and for pg_monitor; primary keys for who may read the table.';

CREATE FUNCTION ai._retry_vectorizer(vectorizer_id int4, primary_key text, class text) RETURNS int8
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex'
AS 'MODULE_PATHNAME', 'retry_vectorizer_wrapper';
COMMENT ON FUNCTION ai._retry_vectorizer(int4, text, text) IS 'The work of ai.retry_vectorizer.';

CREATE FUNCTION ai.retry_vectorizer(vectorizer_id int4, primary_key jsonb DEFAULT NULL, class text DEFAULT NULL) RETURNS int8
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ai._retry_vectorizer(vectorizer_id, primary_key::text, class)
$$;
COMMENT ON FUNCTION ai.retry_vectorizer(int4, jsonb, text) IS
    'Tries documents again at once that were given up or wait for another try: all, the one of a primary key, or those of a class of failures (transient, throttled, configuration, permanent, unknown). Returns how many. Ends a pause of the vectorizer, and one that its provider asked for. For its owner.';

CREATE FUNCTION ai.retry_vectorizer(name text, primary_key jsonb DEFAULT NULL, class text DEFAULT NULL) RETURNS int8
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ai._retry_vectorizer(ai._vectorizer_id(name), primary_key::text, class)
$$;
COMMENT ON FUNCTION ai.retry_vectorizer(text, jsonb, text) IS
    'Tries documents again at once that were given up or wait for another try: all, the one of a primary key, or those of a class of failures (transient, throttled, configuration, permanent, unknown). Returns how many. Ends a pause of the vectorizer, and one that its provider asked for. For its owner.';

CREATE OR REPLACE FUNCTION ai.grant_vectorizer_usage(to_user name, admin bool DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = to_user) THEN
        RAISE EXCEPTION 'role "%" does not exist', to_user USING ERRCODE = 'undefined_object';
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA ai TO %I', to_user);
    EXECUTE format(
        'GRANT SELECT ON ai._vectorizer, ai._vectorizer_run, ai._vectorizer_errors, ai._vectorizer_document, ai.vectorizer_id_seq, '
        'ai.vectorizer, ai.vectorizer_status, ai.vectorizer_errors, ai.vectorizer_failed, ai.worker_status TO %I%s',
        to_user, CASE WHEN admin THEN ' WITH GRANT OPTION' ELSE '' END);
END
$$;
COMMENT ON FUNCTION ai.grant_vectorizer_usage(name, bool) IS
    'Lets a role see all vectorizers, their errors and their failed documents, and dump them; admin lets it pass that on. Owners see their own without it.';

-- Tokens in place of a text.

-- The type vector is wherever pgvector was put. Nobody can have another one there.
SELECT pg_catalog.set_config('search_path', pg_catalog.format('pg_catalog, %I, pg_temp', n.nspname), true)
FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
WHERE e.extname OPERATOR(pg_catalog.=) 'vector'::pg_catalog.name;
-- Their text is what is sent: of tokens that came of a text, the provider makes the same again.
CREATE FUNCTION ai.openai_embed(
    model text, input_tokens int[], api_key text DEFAULT NULL, api_key_name text DEFAULT NULL,
    dimensions int DEFAULT NULL, openai_user text DEFAULT NULL, extra_headers jsonb DEFAULT NULL,
    extra_query jsonb DEFAULT NULL, extra_body jsonb DEFAULT NULL, verbose boolean DEFAULT false,
    client_config jsonb DEFAULT NULL) RETURNS vector
LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'openai_embed_tokens_wrapper';
COMMENT ON FUNCTION ai.openai_embed(text, int[], text, text, int, text, jsonb, jsonb, jsonb, boolean, jsonb) IS
    'The vector of the text of these tokens, by one of OpenAI''s embedding models (cl100k_base).';

CREATE FUNCTION ai.openai_client_config(
    base_url text DEFAULT NULL, timeout_seconds float8 DEFAULT NULL, organization text DEFAULT NULL,
    project text DEFAULT NULL, max_retries int DEFAULT NULL, default_headers jsonb DEFAULT NULL,
    default_query jsonb DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'base_url', base_url, 'timeout', timeout_seconds, 'organization', organization, 'project', project,
        'max_retries', max_retries, 'default_headers', default_headers, 'default_query', default_query))
$$;
COMMENT ON FUNCTION ai.openai_client_config(text, float8, text, text, int, jsonb, jsonb) IS
    'What ai.openai_embed takes as client_config. base_url, organization, project and default_headers count; the others are refused there.';

DROP FUNCTION ai.voyageai_embed(text, text, text, text, text, boolean);
DROP FUNCTION ai.voyageai_embed(text, text[], text, text, text, boolean);
CREATE FUNCTION ai.voyageai_embed(
    model text, input_text text, input_type text DEFAULT NULL, api_key text DEFAULT NULL, api_key_name text DEFAULT NULL,
    verbose boolean DEFAULT false, output_dimension int DEFAULT NULL, output_dtype text DEFAULT NULL) RETURNS vector
LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'voyageai_embed_of_length_wrapper';
COMMENT ON FUNCTION ai.voyageai_embed(text, text, text, text, text, boolean, int, text) IS
    'The vector of a text, by Voyage AI; output_dimension is what a model of several lengths is asked for. In a search, write (SELECT ai.voyageai_embed(...)), so that it is asked once and an index can be used.';

CREATE FUNCTION ai.voyageai_embed(
    model text, input_texts text[], input_type text DEFAULT NULL, api_key text DEFAULT NULL,
    api_key_name text DEFAULT NULL, verbose boolean DEFAULT false, output_dimension int DEFAULT NULL,
    output_dtype text DEFAULT NULL) RETURNS TABLE (index int, embedding vector)
LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'voyageai_embed_array_of_length_wrapper';
COMMENT ON FUNCTION ai.voyageai_embed(text, text[], text, text, text, boolean, int, text) IS
    'The vectors of texts, by Voyage AI; index counts from 0.';
SET LOCAL search_path = pg_catalog, pg_temp;

-- Intervals are written in one way, whatever the session prefers.
ALTER FUNCTION ai.scheduling_timescaledb(interval, timestamptz, bool, text) SET IntervalStyle = postgres;

-- pgai has it for its semantic catalogue, and refuses it in a vectorizer; so does ai.create_vectorizer.
CREATE FUNCTION ai.embedding_sentence_transformers(
    model text DEFAULT 'nomic-ai/nomic-embed-text-v1.5', dimensions int4 DEFAULT 768,
    server name DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'sentence_transformers', 'config_type', 'embedding', 'model', model, 'dimensions', dimensions,
        'server', server))
$$;
COMMENT ON FUNCTION ai.embedding_sentence_transformers(text, int4, name) IS
    'A name from pgai, kept for its SQL; ai.create_vectorizer rejects it.';

-- Builders name foreign servers.

DROP FUNCTION ai.loading_column(name, int4);
DROP FUNCTION ai.loading_uri(name, int4, text);
DROP FUNCTION ai.embedding_openai(text, int4, text, text, text);
DROP FUNCTION ai.embedding_ollama(text, int4, text, jsonb, text);
DROP FUNCTION ai.embedding_voyageai(text, int4, text, text, int4, text);
DROP FUNCTION ai.embedding_litellm(text, int4, text, jsonb);

CREATE FUNCTION ai.loading_column(column_name name, retries int4 DEFAULT 6, server name DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object(
        'implementation', 'column', 'config_type', 'loading', 'column_name', column_name, 'retries', retries)
        || jsonb_strip_nulls(jsonb_build_object('server', server))
$$;
COMMENT ON FUNCTION ai.loading_column(name, int4, name) IS
    'The column itself holds the text or the bytes of the document: there is no server to name.';

CREATE FUNCTION ai.loading_uri(
    column_name name, retries int4 DEFAULT 6, aws_role_arn text DEFAULT NULL, server name DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'uri', 'config_type', 'loading', 'column_name', column_name, 'retries', retries,
        'aws_role_arn', aws_role_arn, 'server', server))
$$;
COMMENT ON FUNCTION ai.loading_uri(name, int4, text, name) IS
    'The column holds a URI (s3://, and http://, https://, file:// where an administrator opened them); s3:// documents are read as aws_role_arn where it is given. server names a foreign server of ai_source; without it these are ai_s3, ai_http and ai_file.';

CREATE FUNCTION ai.embedding_openai(
    model text, dimensions int4, chat_user text DEFAULT NULL, api_key_name text DEFAULT 'OPENAI_API_KEY',
    base_url text DEFAULT NULL, server name DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'openai', 'config_type', 'embedding', 'model', model, 'dimensions', dimensions,
        'user', chat_user, 'api_key_name', api_key_name, 'base_url', base_url, 'server', server))
$$;
COMMENT ON FUNCTION ai.embedding_openai(text, int4, text, text, text, name) IS
    'OpenAI, or a server that speaks its API. api_key_name names the variable in the server''s environment that holds the key; server names a foreign server of ai_provider that says address and key instead.';

CREATE FUNCTION ai.embedding_ollama(
    model text, dimensions int4, base_url text DEFAULT NULL, options jsonb DEFAULT NULL, keep_alive text DEFAULT NULL,
    server name DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'ollama', 'config_type', 'embedding', 'model', model, 'dimensions', dimensions,
        'base_url', base_url, 'options', options, 'keep_alive', keep_alive, 'server', server))
$$;
COMMENT ON FUNCTION ai.embedding_ollama(text, int4, text, jsonb, text, name) IS
    'A model of an Ollama server: at base_url, at the OLLAMA_HOST of the server''s environment, or on the same machine.';

CREATE FUNCTION ai.embedding_voyageai(
    model text, dimensions int4, input_type text DEFAULT 'document', api_key_name text DEFAULT 'VOYAGE_API_KEY',
    output_dimension int4 DEFAULT NULL, output_dtype text DEFAULT NULL, server name DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF input_type NOT IN ('query', 'document') THEN
        RAISE EXCEPTION 'invalid input_type for voyage ai "%"', input_type;
    END IF;
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'voyageai', 'config_type', 'embedding', 'model', model, 'dimensions', dimensions,
        'input_type', input_type, 'api_key_name', api_key_name, 'output_dimension', output_dimension,
        'output_dtype', output_dtype, 'server', server));
END
$$;
COMMENT ON FUNCTION ai.embedding_voyageai(text, int4, text, text, int4, text, name) IS
    'Voyage AI. api_key_name names the variable in the server''s environment that holds the key; output_dimension is what a model of several lengths is asked for.';

CREATE FUNCTION ai.embedding_litellm(
    model text, dimensions int4, api_key_name text DEFAULT NULL, extra_options jsonb DEFAULT NULL,
    server name DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'implementation', 'litellm', 'config_type', 'embedding', 'model', model, 'dimensions', dimensions,
        'api_key_name', api_key_name, 'extra_options', extra_options, 'server', server))
$$;
COMMENT ON FUNCTION ai.embedding_litellm(text, int4, text, jsonb, name) IS
    'A model by its name in LiteLLM, provider/model, of the providers openai, azure, cohere, mistral, huggingface and voyage. No LiteLLM is involved.';

-- Who is asked and where documents come from, as foreign servers: Postgres knows how to grant, show, dump and revoke them.
-- The default ones have no options: they read the environment of the server, and pg_dump would not keep any.

CREATE FUNCTION ai._provider_options(options text[], catalogue oid) RETURNS void
LANGUAGE c VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'provider_options_wrapper';
COMMENT ON FUNCTION ai._provider_options(text[], oid) IS 'Checks the options of servers and user mappings of ai_provider.';

CREATE FUNCTION ai._source_options(options text[], catalogue oid) RETURNS void
LANGUAGE c VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'source_options_wrapper';
COMMENT ON FUNCTION ai._source_options(text[], oid) IS 'Checks the options of servers and user mappings of ai_source.';

CREATE FUNCTION ai._check_server(wrapper text, type text, options text[]) RETURNS void
LANGUAGE c VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'check_server_wrapper';
COMMENT ON FUNCTION ai._check_server(text, text, text[]) IS
    'Checks the type of a server, and whether its options are for servers of this type.';

CREATE FUNCTION ai._servers_changed(classes oid[], objects oid[]) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'servers_changed_wrapper';
COMMENT ON FUNCTION ai._servers_changed(oid[], oid[]) IS
    'Makes the worker look at these foreign servers, and those of these user mappings, again when the transaction commits.';

REVOKE EXECUTE ON FUNCTION
    ai._provider_options(text[], oid), ai._source_options(text[], oid), ai._check_server(text, text, text[]),
    ai._servers_changed(oid[], oid[])
FROM PUBLIC;

CREATE FOREIGN DATA WRAPPER ai_provider VALIDATOR ai._provider_options;
COMMENT ON FOREIGN DATA WRAPPER ai_provider IS
    'Servers that turn text into vectors, of the types openai, ollama, voyageai, azure, cohere, mistral and huggingface.';
CREATE FOREIGN DATA WRAPPER ai_source VALIDATOR ai._source_options;
COMMENT ON FOREIGN DATA WRAPPER ai_source IS 'Places where documents are, of the types s3, http and file.';

CREATE SERVER ai_openai TYPE 'openai' FOREIGN DATA WRAPPER ai_provider;
COMMENT ON SERVER ai_openai IS
    'OpenAI: OPENAI_API_KEY and, where it is set, OPENAI_BASE_URL of the server''s environment. Also for models of ai.embedding_litellm that begin with openai/.';
CREATE SERVER ai_ollama TYPE 'ollama' FOREIGN DATA WRAPPER ai_provider;
COMMENT ON SERVER ai_ollama IS 'Ollama: OLLAMA_HOST of the server''s environment, or this machine.';
CREATE SERVER ai_voyageai TYPE 'voyageai' FOREIGN DATA WRAPPER ai_provider;
COMMENT ON SERVER ai_voyageai IS
    'Voyage AI: VOYAGE_API_KEY of the server''s environment. Also for models of ai.embedding_litellm that begin with voyage/.';
CREATE SERVER ai_azure TYPE 'azure' FOREIGN DATA WRAPPER ai_provider;
COMMENT ON SERVER ai_azure IS
    'Azure OpenAI, for models of ai.embedding_litellm that begin with azure/: AZURE_API_BASE and AZURE_API_KEY of the server''s environment.';
CREATE SERVER ai_cohere TYPE 'cohere' FOREIGN DATA WRAPPER ai_provider;
COMMENT ON SERVER ai_cohere IS
    'Cohere, for models of ai.embedding_litellm that begin with cohere/: COHERE_API_KEY of the server''s environment.';
CREATE SERVER ai_mistral TYPE 'mistral' FOREIGN DATA WRAPPER ai_provider;
COMMENT ON SERVER ai_mistral IS
    'Mistral, for models of ai.embedding_litellm that begin with mistral/: MISTRAL_API_KEY of the server''s environment.';
CREATE SERVER ai_huggingface TYPE 'huggingface' FOREIGN DATA WRAPPER ai_provider;
COMMENT ON SERVER ai_huggingface IS
    'Hugging Face, for models of ai.embedding_litellm that begin with huggingface/: HUGGINGFACE_API_KEY of the server''s environment.';

CREATE SERVER ai_s3 TYPE 's3' FOREIGN DATA WRAPPER ai_source;
COMMENT ON SERVER ai_s3 IS 's3:// documents, with the AWS credentials that the server finds in its environment.';
CREATE SERVER ai_http TYPE 'http' FOREIGN DATA WRAPPER ai_source;
COMMENT ON SERVER ai_http IS 'Documents on the web, where ai.allow_http opens it.';
CREATE SERVER ai_file TYPE 'file' FOREIGN DATA WRAPPER ai_source;
COMMENT ON SERVER ai_file IS 'Files of the server, below the directories of ai.file_directories.';

-- They look at the foreign server before they ask it.

-- The worker is told which queue has work.

COMMENT ON FUNCTION ai._wake_worker() IS
    'Wakes the background worker of this database when the transaction commits, for all queues.';

CREATE FUNCTION ai._wake_worker(vectorizer_id int4, intake regclass) RETURNS bool
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'wake_worker_for_wrapper';
COMMENT ON FUNCTION ai._wake_worker(int4, regclass) IS
    'Wakes the background worker for this vectorizer when the transaction commits; false when the catalogue does not know it by this intake. Called by the triggers on source tables.';

-- Without a SET clause, which would cost more than all it does: it runs for each row, and calls nothing by name.
CREATE FUNCTION ai._may_write(vectorizer_id int4, event text, intake regclass, queue regclass, failed regclass, target regclass)
RETURNS bool LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'may_write_wrapper';
COMMENT ON FUNCTION ai._may_write(int4, text, regclass, regclass, regclass, regclass) IS
    'Whether the caller may write to these tables of a vectorizer without running code of others; false: only to the intake. Called by the triggers on source tables.';

-- What logical replication brings.

CREATE FUNCTION ai._follow_replication(vectorizer_id int4, follow bool) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'follow_replication_wrapper';
COMMENT ON FUNCTION ai._follow_replication(int4, bool) IS 'The work of ai.follow_replication.';

CREATE FUNCTION ai.follow_replication(vectorizer_id int4, follow bool DEFAULT true) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$ SELECT ai._follow_replication(vectorizer_id, follow) $$;
COMMENT ON FUNCTION ai.follow_replication(int4, bool) IS
    'Has a vectorizer embed the rows, too, that logical replication (or a session with session_replication_role = replica) writes into its source; with follow => false no longer. For its owner.';
CREATE FUNCTION ai.follow_replication(name text, follow bool DEFAULT true) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ai._follow_replication(ai._vectorizer_id(name), follow)
$$;
COMMENT ON FUNCTION ai.follow_replication(text, bool) IS
    'Has a vectorizer embed the rows, too, that logical replication (or a session with session_replication_role = replica) writes into its source; with follow => false no longer. For its owner.';

-- Each role sees its own vectorizers, and those that it was granted.

CREATE FUNCTION ai._count_queue(vectorizer_id int4, exact bool) RETURNS int8
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'count_queue_wrapper';
COMMENT ON FUNCTION ai._count_queue(int4, bool) IS
    'The work of ai.vectorizer_queue_pending: reads the queue so that nothing of its owner runs.';

CREATE FUNCTION ai._pending_items(vectorizer_id int4) RETURNS int8
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pending_items_wrapper';
COMMENT ON FUNCTION ai._pending_items(int4) IS
    'Documents that wait or are worked on, for ai.vectorizer_status; NULL where the queue is not the caller''s to read, is locked, or is not as it was made.';

CREATE OR REPLACE FUNCTION ai.vectorizer_queue_pending(vectorizer_id int4, exact_count bool DEFAULT false) RETURNS int8
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    queue regclass;
BEGIN
    SELECT c.oid INTO queue FROM ai._seen_vectorizer v LEFT JOIN pg_class c ON c.oid = v.queue WHERE v.id = vectorizer_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'vectorizer % does not exist', vectorizer_id USING ERRCODE = 'undefined_object';
    END IF;
    IF queue IS NULL THEN
        RAISE EXCEPTION 'vectorizer has no queue table';
    END IF;
    RETURN ai._count_queue(vectorizer_id, coalesce(exact_count, false));
END
$$;

CREATE OR REPLACE FUNCTION ai.vectorizer_queue_pending(name text, exact_count bool DEFAULT false) RETURNS int8
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    vectorizer_id int4;
BEGIN
    SELECT v.id INTO vectorizer_id FROM ai._seen_vectorizer v WHERE v.name = vectorizer_queue_pending.name::name;
    IF vectorizer_id IS NULL THEN
        RAISE EXCEPTION 'vectorizer "%" does not exist', name USING ERRCODE = 'undefined_object';
    END IF;
    RETURN ai.vectorizer_queue_pending(vectorizer_id, exact_count);
END
$$;

CREATE OR REPLACE FUNCTION ai._vectorizer_id(vectorizer_name text) RETURNS int4
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_id int4;
BEGIN
    SELECT v.id INTO found_id FROM ai._seen_vectorizer v WHERE v.name::text = vectorizer_name;
    IF found_id IS NULL THEN
        RAISE EXCEPTION 'vectorizer "%" does not exist', vectorizer_name USING ERRCODE = 'undefined_object';
    END IF;
    RETURN found_id;
END
$$;

CREATE OR REPLACE VIEW ai.vectorizer WITH (security_barrier) AS
SELECT v.id,
       sn.nspname AS source_schema,
       s.relname AS source_table,
       v.source_pk,
       v.trigger_name,
       qn.nspname AS queue_schema,
       q.relname AS queue_table,
       v.config,
       v.disabled,
       f.relname AS queue_failed_table,
       v.name
FROM ai._seen_vectorizer v
LEFT JOIN pg_catalog.pg_class s ON s.oid = v.source
LEFT JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
LEFT JOIN pg_catalog.pg_class q ON q.oid = v.queue
LEFT JOIN pg_catalog.pg_namespace qn ON qn.oid = q.relnamespace
LEFT JOIN pg_catalog.pg_class f ON f.oid = v.queue_failed;
COMMENT ON VIEW ai.vectorizer IS
    'The vectorizers of this database and their configuration: those of the role''s own tables, and those that it was granted.';

CREATE OR REPLACE VIEW ai.vectorizer_status WITH (security_barrier) AS
SELECT v.id,
       v.name,
       CASE WHEN s.oid IS NOT NULL THEN pg_catalog.format('%I.%I', sn.nspname, s.relname) END AS source_table,
       CASE WHEN t.oid IS NOT NULL THEN pg_catalog.format('%I.%I', tn.nspname, t.relname) END AS target_table,
       CASE WHEN w.oid IS NOT NULL THEN pg_catalog.format('%I.%I', wn.nspname, w.relname) END AS view,
       coalesce(v.config #>> '{destination,embedding_column}', 'embedding') AS embedding_column,
       ai._pending_items(v.id) AS pending_items,
       v.disabled
FROM ai._seen_vectorizer v
LEFT JOIN pg_catalog.pg_class s ON s.oid = v.source
LEFT JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
LEFT JOIN pg_catalog.pg_class t ON t.oid = v.target
LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_class w ON w.oid = v.view
LEFT JOIN pg_catalog.pg_namespace wn ON wn.oid = w.relnamespace
LEFT JOIN pg_catalog.pg_class q ON q.oid = v.queue
LEFT JOIN pg_catalog.pg_namespace qn ON qn.oid = q.relnamespace;
COMMENT ON VIEW ai.vectorizer_status IS 'Where each vectorizer reads and writes, and how many documents wait.';

CREATE OR REPLACE VIEW ai.vectorizer_errors WITH (security_barrier) AS
SELECT e.id, e.message,
       CASE WHEN r.may THEN e.details WHEN pg_catalog.jsonb_typeof(e.details) = 'object' THEN e.details - 'primary_key' END AS details,
       e.recorded, v.name,
       CASE WHEN r.may THEN e.primary_key END AS primary_key, e.step, e.failure_class, e.occurrences, e.first_recorded
FROM ai._vectorizer_errors e
JOIN ai._vectorizer v ON v.id = e.id
-- Keys are data of the table, and may be signed addresses: for who may read it.
CROSS JOIN LATERAL (SELECT coalesce(pg_catalog.has_table_privilege(v.source::pg_catalog.oid, 'SELECT'), false)) AS r (may)
LEFT JOIN pg_catalog.pg_class s ON s.oid = v.source
-- Reasons name documents: they are for the owner of the table, and for who watches over the server. grant_to, as in pgai,
-- is no grant of errors.
WHERE pg_catalog.pg_has_role(s.relowner, 'USAGE')
   OR pg_catalog.has_table_privilege('ai._vectorizer'::pg_catalog.regclass, 'SELECT');
COMMENT ON VIEW ai.vectorizer_errors IS
    'What fails at present: one row per document and step, with the class of the failure and how often it was met.';

CREATE OR REPLACE VIEW ai.worker_status WITH (security_barrier) AS
SELECT p.process, p.pid, d.datname AS database, NULL::name AS vectorizer, p.state,
       p.activity || coalesce(': ' || i.phase || CASE WHEN i.current_locker_pid > 0
                                                      THEN pg_catalog.format(' of process %s', i.current_locker_pid)
                                                      ELSE '' END, '') AS activity,
       p.since, p.in_flight, p.reason
FROM ai._worker_processes() p
LEFT JOIN pg_catalog.pg_database d ON d.oid = p.database
LEFT JOIN pg_catalog.pg_stat_progress_create_index i ON i.pid = p.pid
UNION ALL
SELECT 'indexer', NULL, pg_catalog.current_database(), v.name, 'waiting', 'will try again to build the index',
       e.recorded, NULL, e.details ->> 'error_reason'
FROM ai._vectorizer_errors e
JOIN ai._seen_vectorizer v ON v.id = e.id
JOIN ai._vectorizer_index b ON b.id = e.id
WHERE e.step = 'indexing' AND NOT b.building
UNION ALL
SELECT 'vectorizer', NULL, pg_catalog.current_database(), v.name,
       CASE WHEN o.reason IS NOT NULL THEN 'waiting' WHEN st.pending_items > 0 THEN 'working' ELSE 'idle' END,
       CASE WHEN st.pending_items > 0 THEN pg_catalog.format('%s documents pending', st.pending_items) END,
       s.paused_at, NULL, o.reason
FROM ai._seen_vectorizer v
JOIN ai.vectorizer_status st ON st.id = v.id
LEFT JOIN ai._vectorizer_state s ON s.id = v.id
LEFT JOIN ai._vectorizer_run r ON r.id = v.id
LEFT JOIN ai._watched_vectorizer w ON w.id = v.id
LEFT JOIN ai._missing_keys() k ON k.id = v.id
CROSS JOIN (SELECT (SELECT p.reason FROM ai._worker_processes() p WHERE p.process = 'launcher')) AS l (reason)
CROSS JOIN LATERAL (
    SELECT ai._obstacle(v.id, l.reason, v.disabled, v.config #>> '{scheduling,implementation}', w.is_watched, s.reason,
                        s.retry_at, k.name, r.next_run, st.pending_items)
           -- Nothing else tells it of one that is stopped.
           || CASE WHEN v.disabled AND v.stranger IS NOT NULL
                   THEN pg_catalog.format('; its source belongs to %s now, and the vectorizer works for another role: look at what is on its tables before it is started', v.stranger)
                   ELSE '' END COLLATE pg_catalog."default"
) AS o (reason);
COMMENT ON VIEW ai.worker_status IS
    'The processes of the extension and the vectorizers of this database: what each does, since when, and why nothing happens where nothing happens.';
DROP FUNCTION ai._obstacle(int4, bool, text, text, timestamptz);
DROP FUNCTION ai._missing_key(int4);
COMMENT ON FUNCTION ai._worker_processes() IS
    'What shared memory knows of the launcher and of the workers; of those of other databases, for who sees all vectorizers.';

REVOKE SELECT ON ai._vectorizer, ai._vectorizer_state, ai._vectorizer_run, ai._vectorizer_index, ai.vectorizer_id_seq FROM PUBLIC;
GRANT SELECT ON
    ai.vectorizer, ai.vectorizer_status, ai.vectorizer_errors, ai.vectorizer_failed, ai.worker_status, ai._seen_vectorizer,
    ai._noted_vectorizer, ai._watched_vectorizer
TO PUBLIC;
-- pgai has tables of these names, and people write to them: superusers, and roles that were granted it, are told what to
-- call. Before the statement, since one that finds no row has changed nothing either; Postgres asks for a trigger INSTEAD OF
-- it besides. To all others the privilege is missing, and must be: LOCK TABLE and FOR UPDATE on a view that a role may
-- write to lock the tables behind it, pg_class among them, with the privileges of the view's owner.
CREATE FUNCTION ai._refuse_write() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'cannot write to ai.%: it is a view', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = CASE TG_TABLE_NAME
            WHEN 'vectorizer' THEN
                'Call ai.enable_vectorizer_schedule, ai.disable_vectorizer_schedule, ai.set_scheduling or ai.drop_vectorizer; '
                'any other change of a configuration takes another vectorizer, by ai.create_vectorizer.'
            WHEN 'vectorizer_errors' THEN
                'A row goes when its document is embedded or deleted. Call ai.retry_vectorizer to have documents tried again.'
            WHEN 'vectorizer_failed' THEN 'Call ai.retry_vectorizer to have documents tried again.'
            ELSE 'It shows what is. ai.vectorizer has the vectorizers, and their functions change them.' END;
END
$$;
COMMENT ON FUNCTION ai._refuse_write() IS 'Says what to call instead of writing to a view.';
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY '{vectorizer,vectorizer_status,vectorizer_errors,vectorizer_failed,worker_status}'::text[] LOOP
        EXECUTE pg_catalog.format(
            'CREATE TRIGGER refuse_statement BEFORE INSERT OR UPDATE OR DELETE ON ai.%I FOR EACH STATEMENT EXECUTE FUNCTION ai._refuse_write()', name);
        EXECUTE pg_catalog.format(
            'CREATE TRIGGER refuse_row INSTEAD OF INSERT OR UPDATE OR DELETE ON ai.%I FOR EACH ROW EXECUTE FUNCTION ai._refuse_write()', name);
    END LOOP;
END
$$;
-- The triggers on source tables, which run as the owners of those, ask whether their queue is known. Those of a dump may
-- have been written by an earlier version.
GRANT SELECT (id, queue) ON ai._vectorizer TO PUBLIC;
-- Who may read it sees all vectorizers, and in the views what is noted about them.
GRANT SELECT ON ai._vectorizer TO pg_monitor;
REVOKE EXECUTE ON FUNCTION ai._refresh_triggers(), ai._catalogue_changed() FROM PUBLIC;

-- Every function has its search_path pinned.
ALTER FUNCTION ai._create_vectorizer(regclass, text, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, text, text, text[], bool, bool) SET jit = off;
ALTER FUNCTION ai.drop_vectorizer(int4, bool) SET jit = off;
ALTER FUNCTION ai.drop_vectorizer(text, bool) SET jit = off;
ALTER FUNCTION ai._wake_worker() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION ai._worker_processes() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION ai._catalogue_changed() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION ai.chunk_text(text, int, int, text, bool) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION ai.chunk_text_recursively(text, int, int, text[], bool) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION ai.openai_embed(text, text, text, text, int, text, jsonb, jsonb, jsonb, boolean, jsonb) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION ai.openai_embed(text, text[], text, text, int, text, jsonb, jsonb, jsonb, boolean, jsonb) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION ai.ollama_embed(text, text, text, text, jsonb, boolean) SET search_path = pg_catalog, pg_temp;

-- They spend the server's credit for any text and any model: they ask for USAGE on the foreign server, ai_openai, say. Those
-- that name a vectorizer ask for SELECT on its destination.
GRANT EXECUTE ON FUNCTION
    ai.openai_embed(text, text, text, text, int, text, jsonb, jsonb, jsonb, boolean, jsonb),
    ai.openai_embed(text, int[], text, text, int, text, jsonb, jsonb, jsonb, boolean, jsonb),
    ai.openai_embed(text, text[], text, text, int, text, jsonb, jsonb, jsonb, boolean, jsonb),
    ai.ollama_embed(text, text, text, text, jsonb, boolean),
    ai.openai_client_config(text, float8, text, text, int, jsonb, jsonb),
    ai.voyageai_embed(text, text, text, text, text, boolean, int, text),
    ai.voyageai_embed(text, text[], text, text, text, boolean, int, text),
    ai.vectorizer_embed(jsonb, text, text)
TO PUBLIC;

-- The owner of a vectorizer was allowed to make it, and may go on using what it uses. Without a privilege that was there from
-- the beginning, as the extension would have it, so that pg_dump keeps the grants.
DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT DISTINCT s.srvname, r.rolname
        FROM ai._vectorizer v
        JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) v.source
        JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) c.relowner AND NOT r.rolsuper
        JOIN pg_catalog.pg_foreign_server s ON
            s.srvname::pg_catalog.text OPERATOR(pg_catalog.=) pg_catalog.concat('ai_',
                CASE
                    WHEN v.config OPERATOR(pg_catalog.#>>) '{embedding,implementation}' OPERATOR(pg_catalog.<>) 'litellm'
                        THEN v.config OPERATOR(pg_catalog.#>>) '{embedding,implementation}'
                    WHEN pg_catalog.strpos(v.config OPERATOR(pg_catalog.#>>) '{embedding,model}', '/') OPERATOR(pg_catalog.=) 0
                        THEN 'openai'
                    ELSE pg_catalog.replace(
                        pg_catalog.split_part(v.config OPERATOR(pg_catalog.#>>) '{embedding,model}', '/', 1), 'voyage', 'voyageai')
                END)
            OR (v.config OPERATOR(pg_catalog.#>>) '{loading,implementation}' OPERATOR(pg_catalog.=) 'uri'
                AND s.srvname::pg_catalog.text OPERATOR(pg_catalog.=) ANY (ARRAY['ai_s3', 'ai_http', 'ai_file']))
    LOOP
        EXECUTE pg_catalog.format('GRANT USAGE ON FOREIGN SERVER %I TO %I', granted.srvname, granted.rolname);
    END LOOP;
    DELETE FROM pg_catalog.pg_init_privs i
    USING pg_catalog.pg_foreign_server s
    WHERE i.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_foreign_server'::pg_catalog.regclass
      AND i.objoid OPERATOR(pg_catalog.=) s.oid AND pg_catalog.starts_with(s.srvname::pg_catalog.text, 'ai_');
END
$$;

-- The validator of a wrapper does not see the type of a server. What was paused for want of a privilege or an option goes on
-- at once when that is given.
CREATE FUNCTION ai._after_server() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    PERFORM ai._check_server(w.fdwname::text, s.srvtype, s.srvoptions)
    FROM pg_event_trigger_ddl_commands() d
    JOIN pg_foreign_server s ON s.oid = d.objid
    JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    WHERE d.classid = 'pg_foreign_server'::regclass;
    IF tg_tag NOT IN ('GRANT', 'REVOKE') THEN
        PERFORM ai._servers_changed(array_agg(d.classid), array_agg(d.objid)) FROM pg_event_trigger_ddl_commands() d;
    ELSIF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() d WHERE d.object_type = 'FOREIGN SERVER') THEN
        PERFORM ai._grants_changed();
    END IF;
END
$$;
COMMENT ON FUNCTION ai._after_server() IS 'Checks foreign servers, and lets the worker know that one has changed.';
REVOKE EXECUTE ON FUNCTION ai._after_server() FROM PUBLIC;

-- A GRANT does not say which servers it is about, and one that grants nothing looks like any other: privileges are
-- noted before.
CREATE FUNCTION ai._note_grants() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'note_grants_wrapper';
COMMENT ON FUNCTION ai._note_grants() IS 'Notes who may use which foreign server, before that changes. Called by an event trigger.';
REVOKE EXECUTE ON FUNCTION ai._note_grants() FROM PUBLIC;

CREATE FUNCTION ai._grants_changed() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'grants_changed_wrapper';
COMMENT ON FUNCTION ai._grants_changed() IS
    'Makes the worker look at the foreign servers again whose privileges are others than was noted. Called by an event trigger.';
REVOKE EXECUTE ON FUNCTION ai._grants_changed() FROM PUBLIC;

CREATE FUNCTION ai._before_grant() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    PERFORM ai._note_grants();
END
$$;
COMMENT ON FUNCTION ai._before_grant() IS 'Notes who may use which foreign server.';
REVOKE EXECUTE ON FUNCTION ai._before_grant() FROM PUBLIC;

CREATE FUNCTION ai._user_of_server(server text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'user_of_server_wrapper';
COMMENT ON FUNCTION ai._user_of_server(text) IS 'A vectorizer that uses a foreign server, of any owner.';
REVOKE EXECUTE ON FUNCTION ai._user_of_server(text) FROM PUBLIC;

CREATE FUNCTION ai._after_server_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    used record;
BEGIN
    FOR used IN
        SELECT ai._user_of_server(d.object_name) AS name, d.object_name AS server
        FROM pg_event_trigger_dropped_objects() d
        WHERE d.classid = 'pg_foreign_server'::regclass
    LOOP
        IF used.name IS NOT NULL THEN
            RAISE EXCEPTION 'the foreign server % is used by the vectorizer %', used.server, used.name
                USING ERRCODE = 'dependent_objects_still_exist', HINT = 'Drop the vectorizer with ai.drop_vectorizer first.';
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ai._after_server_drop() IS 'Keeps foreign servers that vectorizers use.';
REVOKE EXECUTE ON FUNCTION ai._after_server_drop() FROM PUBLIC;

-- For those who read a queue that nobody works on.
CREATE FUNCTION ai._take_in(vectorizer_id int4) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'take_in_wrapper';
COMMENT ON FUNCTION ai._take_in(int4) IS
    'Puts what waits in the intake of a vectorizer into its queue, as the worker does before it takes documents. For its owner.';

-- A role that drops the mapping that was made for it would be given the key of others: dropping is writing options, too.
CREATE FUNCTION ai._keeps_mappings(server text) RETURNS bool
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'keeps_mappings_wrapper';
COMMENT ON FUNCTION ai._keeps_mappings(text) IS 'Whether user mappings of a server are not for the caller to drop.';
-- Not SECURITY DEFINER: it asks who drops.
CREATE FUNCTION ai._after_mapping_drop() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_event_trigger_dropped_objects() d
        WHERE d.object_type = 'user mapping' AND ai._keeps_mappings(d.address_args[1]))
    THEN
        RAISE EXCEPTION 'permission denied to drop user mappings of foreign servers of ai'
            USING ERRCODE = 'insufficient_privilege', HINT = 'Only a superuser may say where the credentials of the server are used.';
    END IF;
END
$$;
COMMENT ON FUNCTION ai._after_mapping_drop() IS 'Keeps user mappings, which only superusers write.';
REVOKE EXECUTE ON FUNCTION ai._after_mapping_drop() FROM PUBLIC;

CREATE FUNCTION ai._refresh_vectorizer(vectorizer_id int4) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'refresh_vectorizer_wrapper';
COMMENT ON FUNCTION ai._refresh_vectorizer(int4) IS 'Makes the trigger function of an altered vectorizer anew, and tries it again.';
REVOKE EXECUTE ON FUNCTION ai._refresh_vectorizer(int4) FROM PUBLIC;

ALTER TABLE ai._vectorizer_errors REPLICA IDENTITY FULL;
ALTER TABLE ai._vectorizer_document REPLICA IDENTITY FULL;

-- Default privileges of the role that installed the extension (ALTER DEFAULT PRIVILEGES) are meant for tables of an application:
-- nobody but the extension writes to its tables.
DO $$
DECLARE
    stray record;
BEGIN
    FOR stray IN
        SELECT DISTINCT pg_catalog.format(
            CASE c.relkind WHEN 'S' THEN 'REVOKE ALL ON SEQUENCE %s FROM %s CASCADE'
                 ELSE 'REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON TABLE %s FROM %s CASCADE' END,
            c.oid::pg_catalog.regclass,
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::pg_catalog.regrole::text END) AS command
        FROM pg_catalog.pg_class c
        CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
        JOIN pg_catalog.pg_extension e ON e.extname OPERATOR(pg_catalog.=) 'ai' AND e.extowner OPERATOR(pg_catalog.=) c.relowner
        WHERE c.relnamespace OPERATOR(pg_catalog.=) 'ai'::pg_catalog.regnamespace
          AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,S}') AND a.grantee OPERATOR(pg_catalog.<>) c.relowner
          AND a.privilege_type OPERATOR(pg_catalog.<>) 'SELECT'
          AND EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
                        AND d.objid OPERATOR(pg_catalog.=) c.oid AND d.deptype OPERATOR(pg_catalog.=) 'e')
    LOOP
        EXECUTE stray.command;
    END LOOP;
END
$$;

-- Rows that get another text by DDL are looked at again.

CREATE FUNCTION ai._note_rewrite(rewritten oid) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'note_rewrite_wrapper';
COMMENT ON FUNCTION ai._note_rewrite(oid) IS
    'Notes that a statement writes all rows of a table anew: its documents may become others. Called by an event trigger.';
REVOKE EXECUTE ON FUNCTION ai._note_rewrite(oid) FROM PUBLIC;

CREATE FUNCTION ai._before_rewrite() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    PERFORM ai._note_rewrite(pg_event_trigger_table_rewrite_oid());
END
$$;
COMMENT ON FUNCTION ai._before_rewrite() IS 'Notes which tables are written anew.';
REVOKE EXECUTE ON FUNCTION ai._before_rewrite() FROM PUBLIC;

-- New objects and further changes come above this line.

-- Vectorizers that there are get the triggers and functions of this version. What was in a partition that has left meanwhile
-- is removed; the rows of all partitions are looked at once more, since nobody was told of those that have come.
SELECT ai._prune_vectorizer(v.id)
FROM ai._vectorizer v
JOIN pg_catalog.pg_class s ON s.oid OPERATOR(pg_catalog.=) v.source
WHERE s.relkind OPERATOR(pg_catalog.=) 'p';
SELECT ai._refresh_triggers();

CREATE EVENT TRIGGER ai_after_ddl ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'ALTER SCHEMA', 'ALTER VIEW', 'CREATE TRIGGER', 'ALTER TRIGGER',
                 'ALTER FUNCTION', 'ALTER ROUTINE', 'ALTER TYPE', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE')
    EXECUTE FUNCTION ai._after_ddl();
COMMENT ON EVENT TRIGGER ai_after_ddl IS 'Has vectorizers follow the names of their tables and columns.';
CREATE EVENT TRIGGER ai_before_rewrite ON table_rewrite EXECUTE FUNCTION ai._before_rewrite();
COMMENT ON EVENT TRIGGER ai_before_rewrite IS 'Has documents looked at again whose rows are written anew.';
CREATE EVENT TRIGGER ai_before_grant ON ddl_command_start WHEN TAG IN ('GRANT', 'REVOKE') EXECUTE FUNCTION ai._before_grant();
COMMENT ON EVENT TRIGGER ai_before_grant IS 'Notes who may use which foreign server, before that changes.';
CREATE EVENT TRIGGER ai_after_server ON ddl_command_end
    WHEN TAG IN ('CREATE SERVER', 'ALTER SERVER', 'GRANT', 'REVOKE', 'CREATE USER MAPPING', 'ALTER USER MAPPING')
    EXECUTE FUNCTION ai._after_server();
COMMENT ON EVENT TRIGGER ai_after_server IS 'Checks foreign servers, and lets the worker know that one has changed.';
CREATE EVENT TRIGGER ai_after_server_drop ON sql_drop
    WHEN TAG IN ('DROP SERVER', 'DROP FOREIGN DATA WRAPPER', 'DROP OWNED')
    EXECUTE FUNCTION ai._after_server_drop();
COMMENT ON EVENT TRIGGER ai_after_server_drop IS 'Keeps foreign servers that vectorizers use.';
CREATE EVENT TRIGGER ai_after_mapping_drop ON sql_drop
    WHEN TAG IN ('DROP USER MAPPING', 'DROP OWNED')
    EXECUTE FUNCTION ai._after_mapping_drop();
COMMENT ON EVENT TRIGGER ai_after_mapping_drop IS 'Keeps user mappings, which only superusers write.';

-- What is not given to ai.set_scheduling stays.

CREATE OR REPLACE FUNCTION ai.set_scheduling(vectorizer_id int4, scheduling jsonb DEFAULT NULL, indexing jsonb DEFAULT NULL) RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'set_scheduling_wrapper';
COMMENT ON FUNCTION ai.set_scheduling(int4, jsonb, jsonb) IS
    'Changes when a vectorizer works, which index it builds, or both: what is not given stays. Returns its whole configuration.';

-- A session that waits for what only a commit shows to the worker is told so.

CREATE FUNCTION ai._waits_for_commit(vectorizer_id int4) RETURNS bool
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'waits_for_commit_wrapper';
COMMENT ON FUNCTION ai._waits_for_commit(int4) IS
    'Whether the worker cannot do what a vectorizer has to do before the end of the caller''s transaction, which has written it or has locked its tables.';

-- Polls, because what it waits for is the end of other transactions; it never sees those of a REPEATABLE READ caller.
CREATE OR REPLACE FUNCTION ai.wait_for_vectorizer(vectorizer_name text, timeout interval DEFAULT '1 minute') RETURNS bool
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + timeout;
    vectorizer_id int4 := ai._vectorizer_id(vectorizer_name);
    obstacle text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'cannot wait for a vectorizer in a % transaction: it would not see the queue change',
            current_setting('transaction_isolation')
            USING ERRCODE = 'feature_not_supported';
    END IF;
    IF ai.vectorizer_queue_pending(vectorizer_id) > 0 AND ai._waits_for_commit(vectorizer_id) THEN
        RAISE EXCEPTION 'cannot wait in the transaction that has written what is waited for, or has locked its tables: the worker cannot see it before the commit'
            USING ERRCODE = 'active_sql_transaction', HINT = 'Commit first, then call ai.wait_for_vectorizer.';
    END IF;
    WHILE ai.vectorizer_queue_pending(vectorizer_id) > 0 LOOP
        IF clock_timestamp() >= deadline THEN
            SELECT w.reason INTO obstacle FROM ai.worker_status w
            WHERE w.process = 'vectorizer' AND w.vectorizer::text = vectorizer_name;
            RAISE NOTICE 'vectorizer % still has % documents to do%', vectorizer_name,
                ai.vectorizer_queue_pending(vectorizer_id), coalesce(': ' || obstacle, '');
            RETURN false;
        END IF;
        PERFORM pg_sleep(0.05);
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION ai.wait_for_vectorizer(text, interval) IS
    'Waits until the queue of a vectorizer is empty; false when that takes longer than the timeout. Documents that failed for good are not waited for. Commit what is to be waited for first: an error says so otherwise.';

-- The worker is told which vectorizers have changed, and reads those.

DROP TRIGGER catalogue_changed ON ai._vectorizer;
CREATE TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON ai._vectorizer
    FOR EACH ROW EXECUTE FUNCTION ai._catalogue_changed();

-- Ids are not used up for ever.

ALTER SEQUENCE ai.vectorizer_id_seq CYCLE;
COMMENT ON SEQUENCE ai.vectorizer_id_seq IS 'The ids of vectorizers. A call that is rolled back uses one up; after the last one the free ones come again.';

-- What they do, in plainer words.

COMMENT ON FUNCTION ai.create_vectorizer(
    regclass, text, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, name, name, name[], bool, bool) IS
    'Keeps embeddings in sync with the documents that a table lists; returns the id of the vectorizer.';
COMMENT ON FUNCTION ai.processing_default(int4, int4) IS
    'Bounds the documents of the vectorizer in flight: batch_size times concurrency, with 1 for one that is missing.';
