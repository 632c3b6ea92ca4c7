-- Seconds until the build may be tried again after a failure: from half a minute, doubling, to an hour. NULL or less than
-- zero: now. A start of the server or a reload ends the wait.
SELECT extract(epoch FROM i.tried_at + least(interval '30 seconds' * 2 ^ least(i.attempts - 1, 10), interval '1 hour')
                          - now())::float8
FROM ai._vectorizer_index i
WHERE i.id = $1 AND i.tried_at >= greatest(pg_postmaster_start_time(), pg_conf_load_time())
