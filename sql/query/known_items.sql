-- Those of the documents $1 that are still in the queue.
SELECT q.item FROM {queue} q WHERE q.item = ANY ($1)
