WITH done AS (
    DELETE FROM ai._vectorizer_index WHERE id = $1
)
DELETE FROM ai._vectorizer_errors WHERE id = $1 AND step = 'indexing'
