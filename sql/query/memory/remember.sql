-- Writes down what is to be remembered of documents that are being written, each under its primary key.
INSERT INTO ai._vectorizer_document AS d (id, primary_key, tag, content, recipe, chunks)
SELECT v.id, m.key::jsonb, m.tag, m.content, m.recipe, m.chunks
FROM unnest($2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::int[]) AS m (key, tag, content, recipe, chunks)
JOIN ai._vectorizer v ON v.id = $1
ON CONFLICT (id, md5(primary_key::text)) DO UPDATE
SET primary_key = excluded.primary_key,
    tag = excluded.tag,
    content = excluded.content,
    recipe = excluded.recipe,
    chunks = excluded.chunks
