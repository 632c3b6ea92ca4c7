-- The table of vectorizer $1 whose row security filters what the owner of the source, as whom it is worked on, reads and
-- removes; that role, and whether the table is its own. As Postgres decides it (check_enable_rls).
SELECT format('%I.%I', n.nspname, c.relname), r.rolname::text, pg_has_role(r.oid, c.relowner, 'USAGE')
FROM ai._vectorizer v
JOIN pg_class s ON s.oid = v.source
JOIN pg_roles r ON r.oid = s.relowner AND NOT r.rolsuper AND NOT r.rolbypassrls
JOIN pg_class c ON c.oid IN (v.source, v.target, v.queue, v.queue_failed, v.intake) AND c.relrowsecurity
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE v.id = $1 AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'USAGE'))
ORDER BY c.oid <> v.source, c.oid
LIMIT 1
