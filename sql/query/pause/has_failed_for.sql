-- Whether the step $2 of the document with the primary key $3 has failed for the reason $4, or one that begins so.
SELECT EXISTS (
    SELECT FROM ai._vectorizer_errors e
    WHERE e.id = $1 AND e.step = $2 AND md5(coalesce(e.primary_key::text, '')) = md5(coalesce($3::jsonb::text, ''))
      AND starts_with(e.details ->> 'error_reason', $4))
