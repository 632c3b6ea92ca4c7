-- Vectorizers are stopped, started and waited for.

CREATE FUNCTION ai._set_disabled(vectorizer_id int4, disabled bool) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'set_disabled_wrapper';
COMMENT ON FUNCTION ai._set_disabled(int4, bool) IS 'Stops a vectorizer, or starts it again. For its owner.';

CREATE FUNCTION ai._request_run(vectorizer_id int4) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'request_run_wrapper';
COMMENT ON FUNCTION ai._request_run(int4) IS 'Has the queue of a vectorizer worked on now. For its owner.';

CREATE FUNCTION ai.set_scheduling(vectorizer_id int4, scheduling jsonb DEFAULT NULL, indexing jsonb DEFAULT NULL) RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'set_scheduling_wrapper';
COMMENT ON FUNCTION ai.set_scheduling(int4, jsonb, jsonb) IS
    'Changes when a vectorizer works, which index it builds, or both: what is not given stays. Returns its whole configuration.';

CREATE FUNCTION ai._vectorizer_id(vectorizer_name text) RETURNS int4
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
COMMENT ON FUNCTION ai._vectorizer_id(text) IS 'The id of a vectorizer; an error where there is none of this name.';

CREATE FUNCTION ai.disable_vectorizer_schedule(vectorizer_id int4) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$ SELECT ai._set_disabled(vectorizer_id, true) $$;
COMMENT ON FUNCTION ai.disable_vectorizer_schedule(int4) IS 'Stops a vectorizer. Its queue goes on filling.';
CREATE FUNCTION ai.disable_vectorizer_schedule(name text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ai._set_disabled(ai._vectorizer_id(name), true)
$$;
COMMENT ON FUNCTION ai.disable_vectorizer_schedule(text) IS 'Stops a vectorizer. Its queue goes on filling.';

CREATE FUNCTION ai.enable_vectorizer_schedule(vectorizer_id int4) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$ SELECT ai._set_disabled(vectorizer_id, false) $$;
COMMENT ON FUNCTION ai.enable_vectorizer_schedule(int4) IS 'Starts a vectorizer that was stopped.';
CREATE FUNCTION ai.enable_vectorizer_schedule(name text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ai._set_disabled(ai._vectorizer_id(name), false)
$$;
COMMENT ON FUNCTION ai.enable_vectorizer_schedule(text) IS 'Starts a vectorizer that was stopped.';

CREATE FUNCTION ai.execute_vectorizer(vectorizer_id int4) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$ SELECT ai._request_run(vectorizer_id) $$;
COMMENT ON FUNCTION ai.execute_vectorizer(int4) IS
    'Has the background worker work on what is in the queue, once the transaction commits. Does not wait for it: see ai.wait_for_vectorizer.';
CREATE FUNCTION ai.execute_vectorizer(vectorizer_name text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ai._request_run(ai._vectorizer_id(vectorizer_name))
$$;
COMMENT ON FUNCTION ai.execute_vectorizer(text) IS
    'Has the background worker work on what is in the queue, once the transaction commits. Does not wait for it: see ai.wait_for_vectorizer.';

CREATE FUNCTION ai._waits_for_commit(vectorizer_id int4) RETURNS bool
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'waits_for_commit_wrapper';
COMMENT ON FUNCTION ai._waits_for_commit(int4) IS
    'Whether the worker cannot do what a vectorizer has to do before the end of the caller''s transaction, which has written it or has locked its tables.';

-- Polls, because what it waits for is the end of other transactions; it never sees those of a REPEATABLE READ caller.
CREATE FUNCTION ai.wait_for_vectorizer(vectorizer_name text, timeout interval DEFAULT '1 minute') RETURNS bool
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

-- pgai's grants let their holder re-point vectorizers of others; these let a role look at all of them, and dump them.
CREATE FUNCTION ai.grant_vectorizer_usage(to_user name, admin bool DEFAULT false) RETURNS void
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
