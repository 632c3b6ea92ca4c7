-- The documents $1, held by the leases $2, are done, if they are still the versions $3 that were taken. Those that
-- have changed go another round, on a clean account: a changed row is a fresh one. How many are done, and which go
-- another round.
WITH done AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS d (item, lease, version)
), gone AS (
    DELETE FROM {queue} q USING done d
    WHERE q.item = d.item AND q.lease = d.lease AND q.version = d.version
    RETURNING q.item
), again AS (
    UPDATE {queue} q
    SET lease = NULL, lease_taken_at = NULL, lease_expires_at = NULL, attempts = 0, crashes = 0, loading_retries = 0,
        loading_retry_after = NULL
    FROM done d
    WHERE q.item = d.item AND q.lease = d.lease AND q.version <> d.version
    RETURNING q.item
)
SELECT (SELECT count(*) FROM gone), ARRAY(SELECT a.item FROM again a)
