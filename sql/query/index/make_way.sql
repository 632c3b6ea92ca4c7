-- Cancels the build of an index (its process is $1) that is in the way of a lock that keeps everybody out, as TRUNCATE, DROP
-- and most of ALTER TABLE take it: behind such a lock, readers and writers queue up.
SELECT pg_cancel_backend($1)
FROM pg_locks w
WHERE NOT w.granted AND w.locktype = 'relation' AND w.mode = 'AccessExclusiveLock' AND w.pid <> $1
  AND $1 = ANY (pg_blocking_pids(w.pid))
LIMIT 1
