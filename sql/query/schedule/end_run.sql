DELETE FROM ai._vectorizer_run WHERE id = $1
