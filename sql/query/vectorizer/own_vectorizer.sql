-- The vectorizer of the name $2 on the source $1; where the name was derived ($3), also the one that got a number because the
-- name was taken.
SELECT v.id, v.name::text
FROM ai._vectorizer v
WHERE v.source = $1
  AND (v.name::text = left($2, 63)
       OR $3 AND v.name::text ~ '_[0-9]{10}$' AND left(v.name::text, -11) = left($2, 52))
ORDER BY v.name::text <> left($2, 63)
LIMIT 1
