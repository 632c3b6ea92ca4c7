-- Functions that do something. Most private ones (_...) are in the library. Public ones that pgai has, too, have its names, types
-- and defaults.

CREATE FUNCTION ai._create_vectorizer(
    source regclass, name text, destination jsonb, loading jsonb, parsing jsonb, embedding jsonb, chunking jsonb,
    indexing jsonb, formatting jsonb, scheduling jsonb, processing jsonb, queue_schema text, queue_table text,
    grant_to text[], enqueue_existing bool, if_not_exists bool) RETURNS int4
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS 'MODULE_PATHNAME', 'create_vectorizer_wrapper';
COMMENT ON FUNCTION ai._create_vectorizer(
    regclass, text, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, text, text, text[], bool, bool) IS
    'The body of ai.create_vectorizer.';

CREATE FUNCTION ai.create_vectorizer(
    source regclass,
    name text DEFAULT NULL,
    destination jsonb DEFAULT ai.destination_table(),
    loading jsonb DEFAULT NULL,
    parsing jsonb DEFAULT ai.parsing_auto(),
    embedding jsonb DEFAULT NULL,
    chunking jsonb DEFAULT ai.chunking_recursive_character_text_splitter(),
    indexing jsonb DEFAULT ai.indexing_default(),
    formatting jsonb DEFAULT ai.formatting_python_template(),
    scheduling jsonb DEFAULT ai.scheduling_default(),
    processing jsonb DEFAULT ai.processing_default(),
    queue_schema name DEFAULT NULL,
    queue_table name DEFAULT NULL,
    grant_to name[] DEFAULT ai.grant_to(),
    enqueue_existing bool DEFAULT true,
    if_not_exists bool DEFAULT false) RETURNS int4
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ai._create_vectorizer(
        source, name, destination, loading, parsing, embedding, chunking, indexing, formatting, scheduling,
        processing, queue_schema::text, queue_table::text, grant_to::text[], enqueue_existing, if_not_exists)
$$;
COMMENT ON FUNCTION ai.create_vectorizer(
    regclass, text, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, name, name, name[], bool, bool) IS
    'Keeps embeddings in sync with the documents that a table lists; returns the id of the vectorizer.';

CREATE FUNCTION ai.drop_vectorizer(vectorizer_id int4, drop_all bool DEFAULT false) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS 'MODULE_PATHNAME', 'drop_vectorizer_wrapper';
COMMENT ON FUNCTION ai.drop_vectorizer(int4, bool) IS
    'Removes a vectorizer, its triggers and its queue; with drop_all the embeddings, too.';

CREATE FUNCTION ai.drop_vectorizer(name text, drop_all bool DEFAULT false) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS 'MODULE_PATHNAME', 'drop_vectorizer_by_name_wrapper';
COMMENT ON FUNCTION ai.drop_vectorizer(text, bool) IS
    'Removes a vectorizer, its triggers and its queue; with drop_all the embeddings, too.';

CREATE FUNCTION ai._wake_worker() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'wake_worker_wrapper';
COMMENT ON FUNCTION ai._wake_worker() IS
    'Wakes the background worker of this database when the transaction commits, for all queues.';

CREATE FUNCTION ai._wake_worker(vectorizer_id int4, intake regclass) RETURNS bool
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'wake_worker_for_wrapper';
COMMENT ON FUNCTION ai._wake_worker(int4, regclass) IS
    'Wakes the background worker for this vectorizer when the transaction commits; false when the catalogue does not know it by this intake. Called by the triggers on source tables.';

-- Without a SET clause, which would cost more than all it does: it runs for each row, and calls nothing by name. Any
-- role may make triggers of it, as one that restores a dump does; one that is not on the source of its vectorizer does nothing.
CREATE FUNCTION ai._append_change() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'append_change';
COMMENT ON FUNCTION ai._append_change() IS
    'The trigger by row on the source of the vectorizer that is its argument: writes down the primary key of a row that is new or has changed.';

-- Without a SET clause, which would cost more than all it does: it runs for each row, and calls nothing by name.
CREATE FUNCTION ai._may_write(vectorizer_id int4, event text, intake regclass, queue regclass, failed regclass, target regclass)
RETURNS bool LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'may_write_wrapper';
COMMENT ON FUNCTION ai._may_write(int4, text, regclass, regclass, regclass, regclass) IS
    'Whether the caller may write to these tables of a vectorizer without running code of others; false: only to the intake. Called by the triggers on source tables.';

CREATE FUNCTION ai._refresh_triggers() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'refresh_triggers_wrapper';
COMMENT ON FUNCTION ai._refresh_triggers() IS
    'Makes the trigger functions anew from the names that tables and columns have now.';
REVOKE EXECUTE ON FUNCTION ai._refresh_triggers() FROM PUBLIC;

CREATE FUNCTION ai._stop_indexer(vectorizer_id int4) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'stop_indexer_wrapper';
COMMENT ON FUNCTION ai._stop_indexer(int4) IS 'Ends the build of the index of a vectorizer that is being dropped.';
REVOKE EXECUTE ON FUNCTION ai._stop_indexer(int4) FROM PUBLIC;

CREATE FUNCTION ai._forget_errors(vectorizer_id int4, keys jsonb) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'forget_errors_wrapper';
COMMENT ON FUNCTION ai._forget_errors(int4, jsonb) IS
    'Takes back what was noted about documents that are gone. Called by the triggers on source tables.';

CREATE FUNCTION ai._forget_documents(vectorizer_id int4, keys text[]) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'forget_documents_wrapper';
COMMENT ON FUNCTION ai._forget_documents(int4, text[]) IS
    'Forgets what was remembered of the documents with these primary keys, in JSON (NULL: of all), so that they are loaded anew. Called by the triggers on source tables.';

CREATE FUNCTION ai._refresh_vectorizer(vectorizer_id int4) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'refresh_vectorizer_wrapper';
COMMENT ON FUNCTION ai._refresh_vectorizer(int4) IS 'Makes the trigger function of an altered vectorizer anew, and tries it again.';
REVOKE EXECUTE ON FUNCTION ai._refresh_vectorizer(int4) FROM PUBLIC;

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

-- Spares the triggers the making of keys where nothing is remembered.
CREATE FUNCTION ai._remembers_documents(vectorizer_id int4) RETURNS bool
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM ai._noted_vectorizer n WHERE n.id = vectorizer_id AND n.remembers_documents)
$$;
COMMENT ON FUNCTION ai._remembers_documents(int4) IS
    'Whether anything is remembered of the documents of a vectorizer. Called by the triggers on source tables.';

-- Documents with such a note are in no queue. Owners of source tables may not read the notes of others.
CREATE FUNCTION ai._has_cuts(vectorizer_id int4) RETURNS bool
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM ai._noted_vectorizer n WHERE n.id = vectorizer_id AND n.has_cuts)
$$;
COMMENT ON FUNCTION ai._has_cuts(int4) IS
    'Whether texts of a vectorizer are noted that were longer than its model takes. Asked by the triggers on source tables.';

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

CREATE FUNCTION ai._worker_processes(
    OUT process text, OUT pid int4, OUT database oid, OUT state text, OUT activity text, OUT since timestamptz,
    OUT in_flight int4, OUT reason text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'worker_processes_wrapper';
COMMENT ON FUNCTION ai._worker_processes() IS
    'What shared memory knows of the launcher and of the workers; of those of other databases, for who sees all vectorizers.';

CREATE FUNCTION ai._missing_keys(OUT id int4, OUT name text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'missing_keys_wrapper';
COMMENT ON FUNCTION ai._missing_keys() IS
    'The variables that vectorizers read their keys from, where the environment of the server lacks them.';

CREATE FUNCTION ai._count_queue(vectorizer_id int4, exact bool) RETURNS int8
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'count_queue_wrapper';
COMMENT ON FUNCTION ai._count_queue(int4, bool) IS
    'The work of ai.vectorizer_queue_pending: reads the queue so that nothing of its owner runs.';

-- For owners who read a queue that no worker reads.
CREATE FUNCTION ai._take_in(vectorizer_id int4) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'take_in_wrapper';
COMMENT ON FUNCTION ai._take_in(int4) IS
    'Puts what waits in the intake of a vectorizer into its queue, as the worker does before it takes documents. For its owner.';

CREATE FUNCTION ai._pending_items(vectorizer_id int4) RETURNS int8
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pending_items_wrapper';
COMMENT ON FUNCTION ai._pending_items(int4) IS
    'Documents that wait or are worked on, for ai.vectorizer_status; NULL where the queue is not the caller''s to read, is locked, or is not as it was made.';

-- Who may read the queue may count it, as with pgai.
CREATE FUNCTION ai.vectorizer_queue_pending(vectorizer_id int4, exact_count bool DEFAULT false) RETURNS int8
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
COMMENT ON FUNCTION ai.vectorizer_queue_pending(int4, bool) IS
    'Documents that wait or are worked on. Above 10,000 the answer is the greatest bigint, unless exact_count.';

CREATE FUNCTION ai.vectorizer_queue_pending(name text, exact_count bool DEFAULT false) RETURNS int8
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
COMMENT ON FUNCTION ai.vectorizer_queue_pending(text, bool) IS
    'Documents that wait or are worked on. Above 10,000 the answer is the greatest bigint, unless exact_count.';

-- Not to_regprocedure(), which raises an ERROR for a text that is no name, and for a schema that the caller may not look into: one
-- row of a dump that was changed by hand would fail every statement about all vectorizers.
CREATE FUNCTION ai._trigger_function(name text) RETURNS oid
LANGUAGE c STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'trigger_function_wrapper';
COMMENT ON FUNCTION ai._trigger_function(text) IS
    'The function without arguments of this name, with its schema, as it is written down of a vectorizer; NULL where there is none.';

-- A table that is being restored has no triggers yet: work has to wait for them, and for the rows that come before them.
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

-- The worker may be gone until then, and a throttled document leaves no error row.
CREATE FUNCTION ai._waiting(vectorizer_id int4) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'waiting_wrapper';
COMMENT ON FUNCTION ai._waiting(int4) IS 'Until when all documents of a queue wait for their next tries; NULL when there is one that does not.';

-- The state of a vectorizer in words, for ai.worker_status; NULL when all is well. First what stops everything. What is asked of
-- all vectorizers at once comes as an argument: a database may have a thousand of them.
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
