-- Moves up to $2 documents that $1 processes died with to the failed queue, with the step $3, the class $4 and the
-- reason $5. Keys may be long: those of $6 bytes, and one more. How many were to be moved, how many left the queue,
-- how many reached the failed one, and their primary keys.
WITH found AS MATERIALIZED (
    SELECT q.item, {bytes_of_item} AS bytes
    FROM {queue} q WHERE q.crashes >= $1 AND q.lease IS NULL LIMIT $2 FOR UPDATE SKIP LOCKED
), guilty AS MATERIALIZED (
    SELECT b.item
    FROM (SELECT g.item, sum(g.bytes) OVER (ORDER BY g.item ROWS UNBOUNDED PRECEDING) - g.bytes AS before FROM found g) AS b
    WHERE b.before < $6
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
    RETURNING true
)
SELECT (SELECT count(*) FROM guilty) AS guilty, (SELECT count(*) FROM gone) AS gone, (SELECT count(*) FROM kept) AS kept,
       ARRAY(SELECT ({primary_key})::text FROM gone q) AS primary_keys
