-- Whether there are documents that processes died with.
SELECT EXISTS (SELECT FROM {queue} q WHERE q.crashes > 0 AND q.lease IS NULL)
