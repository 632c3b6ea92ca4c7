-- Writes down what is to be remembered of documents that were found to be unchanged. Where a session had them forgotten
-- meanwhile, they are to be looked at: then there is nothing to update.
UPDATE ai._vectorizer_document d
SET tag = m.tag, content = m.content, recipe = m.recipe, chunks = m.chunks
FROM unnest($2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::int[]) AS m (key, tag, content, recipe, chunks)
WHERE d.id = $1 AND md5(d.primary_key::text) = md5(m.key)
