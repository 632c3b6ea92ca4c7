-- Error rows of the documents with the primary keys $2; NULL: of all documents.
DELETE FROM ai._vectorizer_errors e
WHERE e.id = $1
  AND e.primary_key IS NOT NULL
  AND ($2::text IS NULL OR e.primary_key IN (SELECT k.value FROM jsonb_array_elements($2::text::jsonb) AS k))
