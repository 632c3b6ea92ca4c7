-- Indexes and sequences of the table $1, which go where it goes; whether their names say whose they are, and are free in the
-- schema $2.
SELECT p.oid, CASE p.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'INDEX' END AS kind, format('%I.%I', n.nspname, p.relname) AS name,
    starts_with(p.relname::text, t.relname || '_')
        AND NOT EXISTS (SELECT FROM pg_class o JOIN pg_namespace m ON m.oid = o.relnamespace
                        WHERE m.nspname::text = $2 AND o.relname = p.relname) AS may_go
FROM pg_class t, pg_class p
JOIN pg_namespace n ON n.oid = p.relnamespace
WHERE t.oid = $1
  AND (p.oid IN (SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = $1)
       OR p.relkind = 'S' AND EXISTS (
           SELECT FROM pg_depend d
           WHERE d.classid = 'pg_class'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_class'::regclass
             AND d.refobjid = $1 AND d.deptype IN ('a', 'i')))
