SELECT EXISTS (SELECT FROM ai._vectorizer_document d WHERE d.id = $1)
