-- Takes up to $1 documents under the lease $2 for $3 seconds: taken.sql reads them. Fresh rows come first, then those
-- that are due for another try, then those that were there when the vectorizer was made. $4 is the number of
-- processes that died with them, 2 for more. Never those of the leases $5, which this worker holds itself: a clock
-- that was set forward ends leases that are renewed in time. The attempt is counted before the work. Both searches
-- read an index from its beginning, whatever the length of the queue (bench/claims.py): the conditions are such as
-- the planner takes to be met often. Keys may be long: those of $6 bytes, and one more, are taken. A document that is
-- not ours after all comes with its key: a trigger of the owner has swallowed that.
WITH waiting AS MATERIALIZED (
    SELECT q.item, CASE WHEN q.backfill THEN 2 ELSE 0 END AS rank, {bytes_of_item} AS bytes
    FROM {queue} q
    WHERE q.loading_retry_after IS NULL
      AND (q.lease IS NULL OR q.lease_expires_at < now() AND q.lease <> ALL ($5))
      AND (q.crashes > 0) = ($4 > 0) AND (q.crashes > 1) = ($4 > 1)
    ORDER BY q.backfill, q.item
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), due AS MATERIALIZED (
    SELECT q.item, 1 AS rank, {bytes_of_item} AS bytes
    FROM {queue} q
    WHERE q.loading_retry_after <= now()
      AND (q.lease IS NULL OR q.lease_expires_at < now() AND q.lease <> ALL ($5))
      AND (q.crashes > 0) = ($4 > 0) AND (q.crashes > 1) = ($4 > 1)
    ORDER BY q.loading_retry_after
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), candidate AS MATERIALIZED (
    SELECT k.item
    FROM (SELECT c.item, c.rank, {bytes_before} AS before
          FROM (SELECT * FROM waiting UNION ALL SELECT * FROM due) AS c) AS k
    WHERE k.before < $6
    ORDER BY k.rank, k.item
    LIMIT $1
), claimed AS (
    UPDATE {queue} q
    SET lease = $2,
        lease_taken_at = now(),
        lease_expires_at = now() + $3 * interval '1 second',
        attempts = q.attempts + 1
    FROM candidate c
    WHERE q.item = c.item
    RETURNING q.item, q.lease
)
SELECT d.item, NULL AS swallowed FROM claimed d WHERE d.lease = $2
UNION ALL
SELECT q.item, ({primary_key})::text
FROM candidate c JOIN {queue} q ON q.item = c.item
WHERE (SELECT count(*) FROM claimed d WHERE d.lease = $2) <> (SELECT count(*) FROM candidate)
  AND NOT EXISTS (SELECT FROM claimed d WHERE d.item = c.item AND d.lease = $2)
