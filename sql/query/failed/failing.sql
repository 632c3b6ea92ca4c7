-- The keys of documents that fail at present, by the class of their failure. Those that were throttled have none: all that
-- are not theirs.
SELECT coalesce(jsonb_agg(e.primary_key), '[]') FROM ai._vectorizer_errors e
WHERE e.id = $1 AND ($2 = 'throttled' OR e.failure_class = $2) AND e.primary_key IS NOT NULL
