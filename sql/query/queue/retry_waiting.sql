-- Documents that wait for another try (the one of the key $1, those of the keys $2, with $3 all but those; NULL: all) are due
-- now, on a clean account. Those that are worked on are left alone. How many, and how many were noted.
WITH waiting AS MATERIALIZED (
    SELECT q.item
    FROM {queue} q
    WHERE (q.lease IS NULL OR q.lease_expires_at < now())
      AND (q.loading_retry_after > now() OR q.crashes > 0)
      AND ($1 IS NULL OR EXISTS (
          SELECT FROM (
              SELECT {restored} FROM jsonb_populate_record(NULL::{queue}, jsonb_build_object({queued_from_named})) AS r) AS k
          WHERE {key_is_item}))
      -- What a lock is in the way of (release.sql) was not throttled.
      AND NOT ($3 AND q.lease_taken_at IS NOT NULL)
      AND ($2 IS NULL OR ({primary_key} IN (SELECT e.value FROM jsonb_array_elements($2) AS e)) <> $3)
    FOR UPDATE SKIP LOCKED
), noted AS (
    UPDATE {queue} q
    SET attempts = 0, crashes = 0, loading_retries = 0, loading_retry_after = NULL
    FROM waiting w
    WHERE q.item = w.item
    RETURNING true
)
SELECT (SELECT count(*) FROM waiting), (SELECT count(*) FROM noted)
