-- The types of the columns of a source table, to declare others like them. A collation that is not the type's own is part
-- of it: texts of two collations cannot be compared, and equal by the one need not be equal by the other. Nor
-- does an index take a long key that is compressed in another way.
SELECT a.attname::text,
       concat(format_type(a.atttypid, a.atttypmod), CASE WHEN a.attcompression = 'l' THEN ' COMPRESSION lz4' END, ' COLLATE ' || quote_ident(n.nspname) || '.' || quote_ident(l.collname))
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_collation l ON l.oid = a.attcollation AND a.attcollation <> t.typcollation
LEFT JOIN pg_namespace n ON n.oid = l.collnamespace
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
