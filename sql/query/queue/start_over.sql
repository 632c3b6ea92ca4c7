-- The document changed while it was worked on: another round, on a clean account. A changed row is a fresh one.
UPDATE {queue}
SET lease = NULL, lease_taken_at = NULL, lease_expires_at = NULL, attempts = 0, crashes = 0, loading_retries = 0,
    loading_retry_after = NULL
WHERE item = $1 AND lease = $2 AND version <> $3
