DELETE FROM ai._vectorizer_state WHERE id = $1
