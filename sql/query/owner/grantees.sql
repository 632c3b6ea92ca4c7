-- Who may do anything with the object $1 of the class $2 (a relation or a function) that is not theirs, also with a column of it.
SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
FROM (
    SELECT c.relowner, g.grantee FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) AS g
    WHERE $2 = 'pg_class'::regclass AND c.oid = $1
    UNION ALL
    SELECT c.relowner, g.grantee
    FROM pg_class c
    JOIN pg_attribute t ON t.attrelid = c.oid
    CROSS JOIN LATERAL aclexplode(t.attacl) AS g
    WHERE $2 = 'pg_class'::regclass AND c.oid = $1
    UNION ALL
    SELECT p.proowner, g.grantee FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) AS g
    WHERE $2 = 'pg_proc'::regclass AND p.oid = $1
) AS a (owner, grantee)
WHERE a.grantee <> a.owner
