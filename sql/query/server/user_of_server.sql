-- The name of a vectorizer that uses the foreign server $1.
SELECT v.name::text FROM ai._vectorizer v
WHERE $1 IN (v.config #>> '{embedding,server}', v.config #>> '{loading,server}')
ORDER BY v.id
LIMIT 1
