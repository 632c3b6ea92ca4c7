-- Gives back up to $4 documents of what a worker that is gone had taken, but not what is held under the leases $3. The attempt
-- does not count; but where that worker was killed, whose leases are those from $1 to $2 (NULL: none was), each of the
-- documents that it took may have been the cause. The leases from $5 to $6 are those of this worker in all its lives, and
-- negative ones are nobody's. What another worker has taken is its own, until the lease runs out.
UPDATE {queue} q
SET lease = NULL,
    lease_taken_at = NULL,
    lease_expires_at = NULL,
    crashes = q.crashes + gone.died::int,
    attempts = q.attempts - 1
FROM (
    SELECT l.item, coalesce(l.lease BETWEEN $1 AND $2, false) AS died
    FROM {queue} l
    WHERE l.lease IS NOT NULL AND l.lease <> ALL ($3) AND (l.lease BETWEEN $5 AND $6 OR l.lease < 0)
    LIMIT $4
    FOR UPDATE SKIP LOCKED
) AS gone
WHERE q.item = gone.item
