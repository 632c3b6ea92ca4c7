-- The vectorizers that use one of the servers $1, by name or as the default of what they ask; and those that name one
-- that there is not, which may have been called so until now.
SELECT v.id
FROM ai._vectorizer v
CROSS JOIN LATERAL (SELECT v.config #>> '{embedding,server}' AS embedding, v.config #>> '{loading,server}' AS loading) AS named
WHERE named.embedding = ANY ($1) OR named.loading = ANY ($1)
   OR named.embedding IS NULL AND (
       'ai_' || (v.config #>> '{embedding,implementation}') = ANY ($1)
       -- The model says which.
       OR v.config #>> '{embedding,implementation}' = 'litellm' AND EXISTS (SELECT FROM unnest($1) AS s WHERE starts_with(s, 'ai_')))
   OR named.loading IS NULL AND v.config #>> '{loading,implementation}' = 'uri' AND ARRAY['ai_s3', 'ai_http', 'ai_file'] && $1
   OR EXISTS (SELECT FROM unnest(ARRAY[named.embedding, named.loading]) AS n (name)
              WHERE n.name IS NOT NULL AND NOT EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = n.name))
