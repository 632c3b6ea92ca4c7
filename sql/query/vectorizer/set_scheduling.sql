-- Replaces the sections $2 of the configuration of vectorizer $1.
UPDATE ai._vectorizer SET config = config || $2 WHERE id = $1 RETURNING config
