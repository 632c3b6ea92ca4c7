-- Documents that took their process with them $1 times.
SELECT q.item, {primary_key} AS primary_key FROM {queue} q WHERE q.crashes >= $1 AND q.lease IS NULL
FOR UPDATE SKIP LOCKED
