-- Gives back up to $4 documents of what a worker that is gone had taken, but not what is held under the leases $3. The attempt
-- does not count; but where that worker was killed, which it was if $1 says when it began (in Postgres' microseconds; $2 is when
-- the one that asks did), each of the documents that it took may have been the cause.
UPDATE {queue} q
SET lease = NULL,
    lease_taken_at = NULL,
    lease_expires_at = NULL,
    crashes = q.crashes + gone.died::int,
    attempts = q.attempts - 1
FROM (
    SELECT l.item,
           $1 IS NOT NULL
               AND l.lease_taken_at >= timestamptz '2000-01-01 00:00:00+00' + $1 * interval '1 microsecond'
               AND l.lease_taken_at < timestamptz '2000-01-01 00:00:00+00' + $2 * interval '1 microsecond' AS died
    FROM {queue} l
    WHERE l.lease IS NOT NULL AND l.lease <> ALL ($3)
    LIMIT $4
    FOR UPDATE SKIP LOCKED
) AS gone
WHERE q.item = gone.item
