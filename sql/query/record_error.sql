INSERT INTO ai._vectorizer_errors AS e (id, message, details, step, class, primary_key)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id, step, md5(coalesce(primary_key::text, ''))) DO UPDATE
SET message = excluded.message,
    details = excluded.details,
    class = excluded.class,
    recorded = excluded.recorded,
    occurrences = e.occurrences + 1
