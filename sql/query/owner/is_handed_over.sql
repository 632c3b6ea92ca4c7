-- Whether the relation $1 belongs to $2, and none of the others may put code on it, or ask through it.
SELECT c.relowner = $2
   AND NOT EXISTS (
       SELECT FROM aclexplode(c.relacl) a
       WHERE a.grantee <> c.relowner AND a.privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE'))
   AND NOT EXISTS (
       SELECT FROM pg_attribute t CROSS JOIN LATERAL aclexplode(t.attacl) AS a
       WHERE t.attrelid = c.oid AND a.grantee <> c.relowner AND a.privilege_type = 'REFERENCES')
FROM pg_class c
WHERE c.oid = $1
