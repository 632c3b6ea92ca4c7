-- Disables a vectorizer that was adopted, or not; with what a superuser has to look at first.
UPDATE ai._vectorizer
SET disabled = $2, config = config || CASE WHEN $3 IS NULL THEN '{}' ELSE jsonb_build_object('held', $3) END
WHERE id = $1
