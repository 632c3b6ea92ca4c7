-- The row of the source is there and stays while its chunks are written. Never waits for a user's lock: whoever holds it
-- may be waiting for ours.
SELECT 1 FROM {source} s JOIN {queue} q ON {source_is_item} WHERE q.item = $1 FOR KEY SHARE OF s SKIP LOCKED
