SELECT id FROM ai._vectorizer WHERE name = $1::name
