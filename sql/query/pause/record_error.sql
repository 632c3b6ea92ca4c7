-- Which of the stored chunks were cut is not forgotten over a later failure of their document: they are there still.
INSERT INTO ai._vectorizer_errors AS e (id, message, details, step, failure_class, primary_key)
SELECT v.id, $2, $3 || CASE WHEN $6 IS NULL THEN '{}' ELSE jsonb_build_object('primary_key', $6::jsonb) END, $4, $5, $6::jsonb
FROM ai._vectorizer v WHERE v.id = $1
ON CONFLICT (id, step, md5(coalesce(primary_key::text, ''))) DO UPDATE
SET message = excluded.message,
    details = jsonb_strip_nulls(jsonb_build_object('chunk_seq', e.details -> 'chunk_seq')) || excluded.details,
    failure_class = excluded.failure_class,
    recorded = excluded.recorded,
    occurrences = e.occurrences + 1
