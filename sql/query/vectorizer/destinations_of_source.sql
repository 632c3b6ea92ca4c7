-- Where the vectorizers of the source $1 write, as their configurations say it.
SELECT v.name::text AS name, v.config ->> 'destination' AS destination
FROM ai._seen_vectorizer v
WHERE v.source = $1
ORDER BY v.id
