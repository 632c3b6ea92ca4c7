-- Gives the documents $2, of the primary keys $3, what was kept of them when they were given up (keep_stash.sql). Only the numbers
-- are written anew.
WITH again AS MATERIALIZED (
    SELECT DISTINCT ON (a.kept) a.item, a.kept
    FROM (SELECT n.item, hashtextextended(n.key, 0) | (1::bigint << 63) AS kept
          FROM unnest($2::bigint[], $3::text[]) AS n (item, key)) AS a
), known AS MATERIALIZED (
    SELECT a.kept, d.text_key FROM again a JOIN ai._vectorizer_stash d ON d.id = $1 AND d.item = a.item
), gone AS (
    DELETE FROM ai._vectorizer_stash d USING known k
    WHERE d.id = $1 AND d.item = k.kept AND d.text_key = k.text_key
)
UPDATE ai._vectorizer_stash d SET item = a.item
FROM again a
WHERE d.id = $1 AND d.item = a.kept
  AND NOT EXISTS (SELECT FROM known k WHERE k.kept = d.item AND k.text_key = d.text_key)
