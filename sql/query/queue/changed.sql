version = q.version + 1,
            queued_at = now(),
            backfill = false,
            loading_retries = 0,
            loading_retry_after = NULL,
            attempts = CASE WHEN q.lease IS NULL THEN 0 ELSE q.attempts END,
            crashes = CASE WHEN q.lease IS NULL THEN 0 ELSE q.crashes END
