-- The vectorizers that are paused for code of others of which one of the names $1 is said.
SELECT s.id FROM ai._vectorizer_state s
WHERE s.reason LIKE '%code of others would run as %'
  AND EXISTS (SELECT FROM unnest($1::text[]) AS n (name) WHERE strpos(s.reason, n.name) > 0)
ORDER BY s.id LIMIT 256
