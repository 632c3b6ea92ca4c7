-- Who owns the source of the vectorizer $1, where that is another role than the one that it works for.
SELECT v.stranger::text FROM ai._seen_vectorizer v WHERE v.id = $1
