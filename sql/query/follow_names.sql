UPDATE ai._vectorizer SET config = $2, source_pk = $3, columns = $4, place = $5 WHERE id = $1
