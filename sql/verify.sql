-- Whether embeddings are what they should be; what was given up, and trying it again.

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
