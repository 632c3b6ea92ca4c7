-- The configuration is at fault. The wait doubles from half a minute to ten, and counts once per try, however many
-- documents of one batch met the fault.
INSERT INTO ai._vectorizer_state AS s (id, retry_at, reason, hint)
VALUES ($1, now() + interval '30 seconds', $2, $3)
ON CONFLICT (id) DO UPDATE
SET reason = excluded.reason,
    hint = excluded.hint,
    paused_at = CASE WHEN s.retry_at <= now() OR s.paused_at < greatest(pg_postmaster_start_time(), pg_conf_load_time())
                     THEN now() ELSE s.paused_at END,
    pauses = CASE WHEN s.retry_at <= now() THEN s.pauses + 1 ELSE s.pauses END,
    retry_at = CASE WHEN s.retry_at <= now() OR s.paused_at < greatest(pg_postmaster_start_time(), pg_conf_load_time())
                    THEN now() + least(interval '30 seconds' * 2 ^ least(s.pauses, 10), interval '10 minutes')
                    ELSE s.retry_at END
RETURNING extract(epoch FROM s.retry_at - now())::float8
