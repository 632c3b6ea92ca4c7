-- The vectorizer $1 works for the owner of its source, unless that is a stranger by now.
SELECT ai._hand_over(v.id) FROM ai._vectorizer v
WHERE v.id = $1 AND ai._stranger(v.source, v.owner::text, v.owner_place) IS NULL
