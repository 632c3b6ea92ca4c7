-- Who may do anything with a relation that is not theirs, also with a column of it.
SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
FROM pg_class c
CROSS JOIN LATERAL (
    SELECT g.grantee FROM aclexplode(c.relacl) AS g
    UNION ALL
    SELECT g.grantee FROM pg_attribute t CROSS JOIN LATERAL aclexplode(t.attacl) AS g WHERE t.attrelid = c.oid
) AS a
WHERE c.oid = $1 AND a.grantee <> c.relowner
