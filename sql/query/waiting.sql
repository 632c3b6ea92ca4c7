-- Until when all documents of a queue wait; no row when there is one that does not. As a rule the first row answers this.
SELECT format('all documents wait, the next one until %s: %s', date_trunc('second', q.loading_retry_after),
              CASE WHEN q.attempts = 0 THEN 'it was throttled' ELSE 'see ai.vectorizer_errors' END)
FROM ONLY {queue} q
WHERE NOT EXISTS (
    SELECT FROM ONLY {queue} w WHERE w.lease IS NOT NULL OR w.loading_retry_after IS NULL OR w.loading_retry_after <= now())
  AND NOT EXISTS (SELECT FROM ONLY {intake})
ORDER BY q.loading_retry_after
LIMIT 1
