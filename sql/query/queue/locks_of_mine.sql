-- Whether this session holds a lock on a table of vectorizer $1 that keeps the worker from writing to it.
SELECT EXISTS (
    SELECT FROM pg_locks l
    JOIN ai._seen_vectorizer v ON l.relation IN (v.source, v.target, v.queue, v.intake)
    WHERE v.id = $1 AND l.pid = pg_backend_pid() AND l.granted
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
