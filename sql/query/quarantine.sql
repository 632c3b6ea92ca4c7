-- Moves up to $2 documents that $1 processes died with to the failed queue, with the step $3, the class $4 and the reason $5:
-- their primary keys.
WITH guilty AS MATERIALIZED (
    SELECT q.item FROM {queue} q WHERE q.crashes >= $1 AND q.lease IS NULL LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM {queue} q USING guilty g WHERE q.item = g.item RETURNING q.*
), kept AS (
    INSERT INTO {failed} AS f ({pk}, failure_step, failure_class, reason, attempts)
    SELECT {queue_pk}, $3, $4, $5, q.attempts FROM gone q
    ON CONFLICT ({pk}) DO UPDATE
    SET created_at = excluded.created_at,
        failure_step = excluded.failure_step,
        failure_class = excluded.failure_class,
        reason = excluded.reason,
        attempts = excluded.attempts
)
SELECT ({primary_key})::text FROM gone q
