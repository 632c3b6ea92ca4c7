-- Gives the documents $2, of the primary keys $3, what was kept of them when they were given up (keep_stash.sql).
WITH again AS MATERIALIZED (
    SELECT DISTINCT ON (a.kept) a.item, a.kept
    FROM (SELECT n.item, hashtextextended(n.key, 0) | (1::bigint << 63) AS kept
          FROM unnest($2::bigint[], $3::text[]) AS n (item, key)) AS a
), gone AS (
    DELETE FROM ai._vectorizer_stash d USING again a
    WHERE d.id = $1 AND d.item = a.kept
    RETURNING a.item, d.text_key, d.vector
)
INSERT INTO ai._vectorizer_stash (id, item, text_key, vector)
SELECT $1, g.item, g.text_key, g.vector FROM gone g
ON CONFLICT DO NOTHING
