-- Those of the documents $1 that are still in the queue, and those below zero (keep_stash.sql) that were given up in the last
-- week: what is wrong with a document is changed by then, or not at all.
SELECT q.item FROM {queue} q WHERE q.item = ANY ($1)
UNION ALL
SELECT k.kept
FROM (SELECT hashtextextended(({failed_key})::text, 0) | (1::bigint << 63) AS kept
      FROM {failed} f
      WHERE f.created_at > now() - interval '7 days') AS k
WHERE 0 > ANY ($1) AND k.kept = ANY ($1)
