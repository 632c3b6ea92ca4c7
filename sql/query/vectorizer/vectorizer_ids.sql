SELECT v.id FROM ai._vectorizer v ORDER BY v.id
