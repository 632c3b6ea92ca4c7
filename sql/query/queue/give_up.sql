-- Moves a document to the failed queue, unless it has changed since it was taken: then the new version gets its own
-- tries. How many left the queue, and how many reached the failed one.
WITH gone AS (
    DELETE FROM {queue} q WHERE q.item = $1 AND q.lease = $2 AND ($3 IS NULL OR q.version = $3) RETURNING q.*
), kept AS (
    INSERT INTO {failed} AS f ({pk}, failure_step, failure_class, reason, attempts)
    SELECT {queue_pk}, $4, $5, $6, q.attempts FROM gone q
    ON CONFLICT ({pk}) DO UPDATE
    SET created_at = excluded.created_at,
        failure_step = excluded.failure_step,
        failure_class = excluded.failure_class,
        reason = excluded.reason,
        attempts = excluded.attempts
    RETURNING true
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM kept)
