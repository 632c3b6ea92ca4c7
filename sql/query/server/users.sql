-- What each vectorizer asks, and where its documents are: one of them may name a foreign server.
SELECT v.id, v.name::text AS name, v.config ->> 'embedding' AS embedding, v.config ->> 'loading' AS loading
FROM ai._vectorizer v
ORDER BY v.id
