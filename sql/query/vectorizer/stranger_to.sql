-- Who owns the relation $2, where that is another role than the one that the vectorizer $1 works for.
SELECT v.source::oid AS source, ai._stranger($2, v.owner::text, v.owner_place) AS stranger FROM ai._vectorizer v WHERE v.id = $1
