-- Stops a vectorizer, or starts it: then the superuser who was to look at what it chooses has done so.
UPDATE ai._vectorizer
SET disabled = $2, config = CASE WHEN $2 OR jsonb_typeof(config) <> 'object' THEN config ELSE config - 'held' END
WHERE id = $1 AND disabled <> $2
