-- How wide the columns of the primary key of a source are, in bytes; NULL for those whose values have lengths of their own.
SELECT nullif(t.typlen, -1)::int4
FROM pg_constraint p
JOIN pg_attribute a ON a.attrelid = p.conrelid AND a.attnum = ANY (p.conkey)
JOIN pg_type t ON t.oid = a.atttypid
WHERE p.conrelid = $1 AND p.contype = 'p'
