-- The columns of the primary key of the table $1, with the operator classes that its index goes by.
SELECT k.attnum AS number, k.opclass
FROM pg_index i
CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[]) AS k (attnum, opclass)
WHERE i.indrelid = $1 AND i.indisprimary
