-- A row, if the process $1 that builds an index waits for a lock: of a writer, or of a session that may still see what was there
-- before. With $2, it does not any more: its build is cancelled.
SELECT CASE WHEN $2 THEN pg_cancel_backend($1) END FROM pg_locks w WHERE w.pid = $1 AND NOT w.granted LIMIT 1
