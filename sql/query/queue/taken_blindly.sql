-- The document $1, taken under the lease $2, as its queue knows it: its row cannot be read.
SELECT q.version, q.attempts, ({primary_key})::text AS primary_key, q.backfill
FROM {queue} q
WHERE q.item = $1 AND q.lease = $2
