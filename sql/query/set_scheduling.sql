UPDATE ai._vectorizer SET config = config || jsonb_build_object('scheduling', $2, 'indexing', $3)
WHERE id = $1
RETURNING config
