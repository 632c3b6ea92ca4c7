DELETE FROM ai._vectorizer_errors
WHERE id = $1 AND md5(coalesce(primary_key::text, '')) = md5(coalesce($2::jsonb::text, ''))
