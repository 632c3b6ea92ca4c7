UPDATE ai._vectorizer_index SET building = false, tried_at = now() WHERE id = $1
