-- The steps are listed for the sake of the index. A failed index has not been mended by a document.
DELETE FROM ai._vectorizer_errors
WHERE id = $1
  AND step IN ('loading', 'parsing', 'chunking', 'formatting', 'embedding', 'writing')
  AND md5(coalesce(primary_key::text, '')) = md5(coalesce($2::jsonb::text, ''))
RETURNING details -> 'chunk_seq'
