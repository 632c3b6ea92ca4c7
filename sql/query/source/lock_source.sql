-- Those of the documents $1 whose rows are there and free: they stay while their chunks are written. Never waits for a
-- user's lock: the session that holds it may wait for ours.
SELECT q.item FROM {source} s JOIN {queue} q ON {source_is_item} WHERE q.item = ANY ($1) FOR KEY SHARE OF s SKIP LOCKED
