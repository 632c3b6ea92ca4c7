-- How often in a row the step $2 of a document has failed.
SELECT e.occurrences FROM ai._vectorizer_errors e
WHERE e.id = $1 AND e.step = $2 AND md5(coalesce(e.primary_key::text, '')) = md5(coalesce($3::jsonb::text, ''))
