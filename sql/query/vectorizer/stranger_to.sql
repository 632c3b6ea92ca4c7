-- Who owns the relation $2, where that is another role than the one that the vectorizer $1 works for.
SELECT ai._stranger($2, v.owner::text, v.owner_place) FROM ai._vectorizer v WHERE v.id = $1
