-- The queues of the vectorizer $1 that are in the schema $2, by the names that pgai gives them, and may go to the schema $3.
SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relname::text AS table_name
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname::text = $2
WHERE c.relname IN ('_vectorizer_q_' || $1, '_vectorizer_q_failed_' || $1) AND c.relkind = 'r'
  AND NOT EXISTS (SELECT FROM ai._vectorizer v WHERE c.oid IN (v.queue, v.queue_failed))
  AND NOT EXISTS (SELECT FROM pg_class o JOIN pg_namespace m ON m.oid = o.relnamespace
                  WHERE m.nspname::text = $3 AND o.relname = c.relname)
