-- Documents that were given back as another session had locked their rows (release.sql), up to $1: those whose rows are free by
-- now, or gone, are due. The others wait on, for $2 seconds where little is left of their wait: to take them again costs more
-- than this look. How many were looked at, and how many are due. Never waits for a lock.
WITH held AS MATERIALIZED (
    SELECT q.item
    FROM {queue} q
    WHERE q.loading_retry_after IS NOT NULL AND q.lease IS NULL AND q.lease_taken_at IS NOT NULL
    ORDER BY q.loading_retry_after
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), free AS MATERIALIZED (
    SELECT q.item
    FROM {source} s JOIN {queue} q ON {source_is_item}
    WHERE q.item IN (SELECT h.item FROM held h)
    FOR {row_lock} OF s SKIP LOCKED
), due AS (
    UPDATE {queue} q
    SET loading_retry_after = NULL, lease_taken_at = NULL
    WHERE q.item IN (SELECT h.item FROM held h)
      AND (q.item IN (SELECT f.item FROM free f) OR NOT EXISTS (SELECT FROM {source} s WHERE {source_is_item}))
    RETURNING q.item
), waiting AS (
    UPDATE {queue} q
    SET loading_retry_after = now() + $2 * interval '1 second'
    WHERE q.item IN (SELECT h.item FROM held h) AND q.item NOT IN (SELECT d.item FROM due d)
      AND q.loading_retry_after < now() + $2 / 2 * interval '1 second'
)
SELECT (SELECT count(*) FROM held), (SELECT count(*) FROM due)
