-- Forgets the documents of the vectorizer $1 with the primary keys $2: they are loaded, parsed and compared anew. What makes
-- them be looked at again (a row in the queue) has to come first: a worker that is about to finish one of them holds its row.
DELETE FROM ai._vectorizer_document d
USING unnest($2::text[]) AS k (key)
WHERE d.id = $1 AND md5(d.primary_key::text) = md5(k.key)
