-- The documents among $2 that have vectors put aside, and the keys of their texts; below zero what is kept of those that were
-- given up, by their primary keys $3 (keep_stash.sql).
SELECT d.item, d.text_key
FROM ai._vectorizer_stash d
WHERE d.id = $1
  AND d.item = ANY ($2 || ARRAY(SELECT hashtextextended(k.key, 0) | (1::bigint << 63) FROM unnest($3::text[]) AS k (key)))
