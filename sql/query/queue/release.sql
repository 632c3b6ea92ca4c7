-- Gives a document that is still the version $5 back, to be taken again in $3 seconds. $4: the attempt was not its fault. $6: a lock of another
-- session was in the way, which the moment says at which it was taken.
UPDATE {queue}
SET lease = NULL,
    lease_taken_at = CASE WHEN $6 THEN now() END,
    lease_expires_at = NULL,
    attempts = attempts - $4::int,
    loading_retries = CASE WHEN $4 THEN loading_retries ELSE attempts END,
    loading_retry_after = CASE WHEN $3 > 0 THEN now() + $3 * interval '1 second' END
WHERE item = $1 AND lease = $2 AND version = $5
