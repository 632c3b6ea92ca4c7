-- Gives back what a worker that is gone had taken. The attempt does not count; but where that worker was killed, which it was
-- if $1 says when it began (in Postgres' microseconds), each of the documents that it took may have been the cause.
UPDATE {queue} q
SET lease = NULL,
    lease_taken_at = NULL,
    lease_expires_at = NULL,
    crashes = q.crashes + gone.died::int,
    attempts = q.attempts - 1
FROM (
    SELECT l.item,
           $1 IS NOT NULL
               AND l.lease_taken_at >= timestamptz '2000-01-01 00:00:00+00' + $1 * interval '1 microsecond' AS died
    FROM {queue} l
    WHERE l.lease IS NOT NULL
    FOR UPDATE SKIP LOCKED
) AS gone
WHERE q.item = gone.item
