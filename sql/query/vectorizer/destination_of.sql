-- Where the vectorizer $1 writes, as its configuration says it.
SELECT v.config ->> 'destination' AS destination FROM ai._vectorizer v WHERE v.id = $1
