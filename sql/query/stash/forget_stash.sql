DELETE FROM ai._vectorizer_stash WHERE id = $1 AND item = ANY ($2)
