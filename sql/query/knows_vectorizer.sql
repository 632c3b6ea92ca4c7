SELECT EXISTS (SELECT FROM ai._vectorizer v WHERE v.id = $1 AND v.intake = $2)
