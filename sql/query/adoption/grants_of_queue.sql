-- The statements that grant on the queues of the vectorizer $1 what is granted on $2 and $3.
SELECT format('GRANT %s ON %s TO %s', a.privilege_type, n.new,
              CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END)
    || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
FROM ai._vectorizer v
CROSS JOIN LATERAL (VALUES ($2, v.queue), ($3, v.queue_failed)) AS n (old, new)
JOIN pg_class c ON c.oid = n.old
CROSS JOIN LATERAL aclexplode(c.relacl) a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE v.id = $1 AND a.grantee <> c.relowner
