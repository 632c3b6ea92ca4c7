INSERT INTO ai._vectorizer_errors AS e (id, message, details, step, class, primary_key)
SELECT v.id, $2, $3, $4, $5, $6 FROM ai._vectorizer v WHERE v.id = $1
ON CONFLICT (id, step, md5(coalesce(primary_key::text, ''))) DO UPDATE
SET message = excluded.message,
    details = excluded.details,
    class = excluded.class,
    recorded = excluded.recorded,
    occurrences = e.occurrences + 1
