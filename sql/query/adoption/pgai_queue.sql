-- Whether a relation has the columns that pgai gives a queue, or a failed queue.
SELECT count(*) FILTER (WHERE a.attname = 'queued_at' AND a.atttypid = 'timestamptz'::regtype) = 1
    OR count(*) FILTER (WHERE a.attname IN ('created_at', 'failure_step')) = 2
FROM pg_attribute a
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
