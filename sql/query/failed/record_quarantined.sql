-- Writes down about the documents $5 of vectorizer $1, one by one, that processes died with them. Otherwise as in record_error.sql.
INSERT INTO ai._vectorizer_errors AS e (id, message, details, step, failure_class, primary_key)
SELECT v.id, $2, $3 || jsonb_build_object('primary_key', k.key::jsonb), $3 ->> 'step', $4, k.key::jsonb
FROM ai._vectorizer v CROSS JOIN unnest($5::text[]) AS k (key)
WHERE v.id = $1
ON CONFLICT (id, step, md5(coalesce(primary_key::text, ''))) DO UPDATE
SET message = excluded.message,
    details = jsonb_strip_nulls(jsonb_build_object('chunk_seq', e.details -> 'chunk_seq')) || excluded.details,
    failure_class = excluded.failure_class,
    recorded = excluded.recorded,
    occurrences = e.occurrences + 1
