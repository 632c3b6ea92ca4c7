-- The attempt is paid before the build: one that takes the server down must not be repeated in a loop. Attempts from
-- before a start of the server, or before its configuration was read again, do not count.
INSERT INTO ai._vectorizer_index AS i (id, attempts, tried_at, building)
VALUES ($1, 1, now(), true)
ON CONFLICT (id) DO UPDATE
SET attempts = CASE WHEN i.tried_at < greatest(pg_postmaster_start_time(), pg_conf_load_time()) THEN 1
                    ELSE i.attempts + 1 END,
    tried_at = now(),
    building = true
