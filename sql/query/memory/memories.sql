-- What is remembered of the documents of the vectorizer $1 with the primary keys $2, and the place of each among them.
SELECT k.place, d.tag, d.content, d.recipe, d.chunks
FROM unnest($2::text[]) WITH ORDINALITY AS k (key, place)
JOIN ai._vectorizer_document d
  ON d.id = $1 AND md5(d.primary_key::text) = md5(k.key) AND d.primary_key = k.key::jsonb
