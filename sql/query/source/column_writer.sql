SELECT v.name::text FROM ai._seen_vectorizer v
WHERE v.source = $1 AND v.config #>> '{destination,implementation}' = 'column'
  AND v.config #>> '{destination,embedding_column}' = $2
