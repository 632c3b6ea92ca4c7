-- The columns of a source that hold vectors of ours.
SELECT v.config #>> '{destination,embedding_column}' FROM ai._seen_vectorizer v
WHERE v.source = $1 AND v.config #>> '{destination,implementation}' = 'column'
