-- Seconds until the next document of this queue may be taken; NULL when there is none.
SELECT extract(epoch FROM min(
    greatest(q.loading_retry_after, CASE WHEN q.lease IS NOT NULL THEN q.lease_expires_at END, now())) - now())::float8
FROM {queue} q
