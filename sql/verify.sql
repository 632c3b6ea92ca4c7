-- Whether embeddings are what they should be.

CREATE FUNCTION ai._verify_vectorizer(
    vectorizer_id int4, repair bool, OUT primary_key text, OUT chunk_seq int4, OUT problem text, OUT detail text)
    RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
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
