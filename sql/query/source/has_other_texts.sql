-- Of the vectorizer $1: the transactions that have last altered the columns that its documents are made of, or what they are
-- generated from, where its source, or a partition of it, is among the tables $2. Its vectors are in the column $3, or in a table.
SELECT t.transaction
FROM ai._vectorizer v
CROSS JOIN LATERAL jsonb_each_text(CASE WHEN jsonb_typeof(v.columns) = 'object' THEN v.columns ELSE '{}' END) AS c
JOIN pg_attribute a ON a.attrelid = v.source AND a.attnum::text = c.value AND NOT a.attisdropped
    AND a.attname IS DISTINCT FROM $3
CROSS JOIN LATERAL (
    SELECT a.xmin::text::int8
    UNION ALL
    SELECT d.xmin::text::int8 FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated <> ''
) AS t (transaction)
WHERE v.id = $1
  AND EXISTS (SELECT FROM unnest($2::oid[]) AS r (oid) WHERE v.source = r.oid OR v.source = pg_partition_root(r.oid::regclass))
