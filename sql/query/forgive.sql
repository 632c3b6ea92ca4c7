DELETE FROM ai._vectorizer_errors
WHERE id = $1 AND step <> 'indexing' AND md5(coalesce(primary_key::text, '')) = md5(coalesce($2::jsonb::text, ''))
