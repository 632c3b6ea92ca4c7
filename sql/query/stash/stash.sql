-- Puts vectors $4 of the texts $3 of a document aside.
INSERT INTO ai._vectorizer_stash (id, item, text_key, vector)
SELECT $1, $2, n.text_key, n.vector FROM unnest($3::bytea[], $4::bytea[]) AS n (text_key, vector)
ON CONFLICT DO NOTHING
