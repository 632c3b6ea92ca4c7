-- Gives back what a worker that is gone had taken. Whether the attempt counts is decided by $1, the last time (in
-- Postgres' microseconds) that a worker of this database ran its exit handlers: a process that was killed ran none, and a server that has been stopped
-- since is no fault of the document (see ai_pipeline::launch::died_holding, which the tests hold this against).
UPDATE {queue} q
SET lease = NULL,
    lease_taken_at = NULL,
    lease_expires_at = NULL,
    crashes = q.crashes + gone.died::int,
    attempts = q.attempts - 1
FROM (
    SELECT l.item,
           l.lease_taken_at >= pg_postmaster_start_time()
               AND timestamptz '2000-01-01 00:00:00+00' + $1 * interval '1 microsecond' < l.lease_taken_at AS died
    FROM {queue} l
    WHERE l.lease IS NOT NULL
    FOR UPDATE SKIP LOCKED
) AS gone
WHERE q.item = gone.item
