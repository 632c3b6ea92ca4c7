SELECT 1 FROM {queue} q WHERE q.item = $1 AND q.lease = $2
