-- The sequences of the identity columns of a table.
SELECT q.oid, q.oid::regclass::text
FROM pg_depend d
JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.deptype = 'i'
