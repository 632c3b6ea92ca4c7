-- What the checks of a schedule and of an index need to know of a vectorizer that there is: its embedding, whether the vectors
-- are in a column of a partitioned table, and which schedule and index it has.
SELECT v.config ->> 'embedding' AS embedding,
       v.target IS NULL AND coalesce(s.relkind = 'p', false) AS is_of_parts,
       coalesce(s.oid::regclass::text, '') AS source_name,
       v.config ->> 'scheduling' AS scheduling,
       v.config ->> 'indexing' AS indexing
FROM ai._seen_vectorizer v
LEFT JOIN pg_class s ON s.oid = v.source
WHERE v.id = $1
