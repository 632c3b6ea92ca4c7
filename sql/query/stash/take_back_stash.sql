-- Gives the documents $2, of the primary keys $3, what was kept of them when they were given up (keep_stash.sql). Only the numbers
-- are written anew.
WITH again AS MATERIALIZED (
    SELECT DISTINCT ON (a.kept) a.item, a.kept
    FROM (SELECT n.item, hashtextextended(n.key, 0) | (1::bigint << 63) AS kept
          FROM unnest($2::bigint[], $3::text[]) AS n (item, key)) AS a
), gone AS (
    DELETE FROM ai._vectorizer_stash d USING again a
    WHERE d.id = $1 AND d.item = a.kept
      AND EXISTS (SELECT FROM ai._vectorizer_stash k WHERE k.id = $1 AND k.item = a.item AND k.text_key = d.text_key)
)
UPDATE ai._vectorizer_stash d SET item = a.item
FROM again a
WHERE d.id = $1 AND d.item = a.kept
  AND NOT EXISTS (SELECT FROM ai._vectorizer_stash k WHERE k.id = $1 AND k.item = a.item AND k.text_key = d.text_key)
