-- What waits in a queue of pgai, which holds a row per change; behind all that change from now on. Documents whose rows
-- are gone are among them: the worker clears away what may be left of them.
INSERT INTO {queue} ({pk}, queued_at, backfill)
SELECT {old_pk}, o.queued_at, true FROM {old_queue} o ORDER BY o.queued_at
ON CONFLICT DO NOTHING
