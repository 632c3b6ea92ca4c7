-- Seconds until the next document of this queue may be taken; NULL when there is none. Asked when nothing was left to take:
-- what is not put off is claimed, and not much. What is in the intake is not asked for here: the code that takes it
-- in knows what stayed behind.
SELECT extract(epoch FROM least(
    (SELECT min(CASE WHEN q.lease IS NULL THEN now() ELSE greatest(q.lease_expires_at, now()) END)
     FROM {queue} q WHERE q.loading_retry_after IS NULL),
    (SELECT greatest(q.loading_retry_after, now())
     FROM {queue} q WHERE q.loading_retry_after IS NOT NULL AND q.lease IS NULL ORDER BY q.loading_retry_after LIMIT 1),
    (SELECT min(greatest(q.lease_expires_at, now()))
     FROM {queue} q WHERE q.loading_retry_after <= now() AND q.lease IS NOT NULL)
))::float8 - extract(epoch FROM now())::float8
