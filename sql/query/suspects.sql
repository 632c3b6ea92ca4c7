-- Documents that processes died with, and whether it were $1 of them.
SELECT q.item, {primary_key} AS primary_key, q.crashes >= $1 FROM {queue} q WHERE q.crashes > 0 AND q.lease IS NULL
FOR UPDATE SKIP LOCKED
