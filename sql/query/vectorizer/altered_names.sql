-- The names of the tables and functions among the objects of the classes $1, with the OIDs $2.
SELECT format('%I.%I', n.nspname, c.relname)
FROM unnest($1::oid[], $2::oid[]) AS d (classid, objid)
JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
JOIN pg_namespace n ON n.oid = c.relnamespace
UNION
SELECT format('%I.%I', n.nspname, p.proname)
FROM unnest($1::oid[], $2::oid[]) AS d (classid, objid)
JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
JOIN pg_namespace n ON n.oid = p.pronamespace
