-- The columns of a table, and their types: of a domain, the type below all domains. Without those of a domain over more than
-- 32 others.
WITH RECURSIVE held AS (
    SELECT a.attnum, a.attname, t.typname, t.typtype, t.typbasetype, 1 AS depth
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT h.attnum, h.attname, t.typname, t.typtype, t.typbasetype, h.depth + 1
    FROM held h JOIN pg_type t ON t.oid = h.typbasetype
    WHERE h.typtype = 'd' AND h.depth < 32
)
SELECT h.attname::text, h.typname::text
FROM held h
WHERE h.typtype <> 'd'
ORDER BY h.attnum
