-- In how many seconds the next runs of the vectorizers $1 (NULL: of all) are.
SELECT r.id, extract(epoch FROM r.next_run)::float8 - extract(epoch FROM now())::float8
FROM ai._vectorizer_run r
WHERE $1::int4[] IS NULL OR r.id = ANY ($1)
