-- A build whose process is gone without a word, while the server stayed up (or came up again by itself).
UPDATE ai._vectorizer_index SET building = false, tried_at = now()
WHERE id = $1 AND building AND tried_at >= pg_postmaster_start_time()
RETURNING attempts
