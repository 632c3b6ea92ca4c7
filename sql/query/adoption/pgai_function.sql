-- The trigger function $2 of the schema $1.
SELECT p.oid, p.oid::regprocedure::text AS name, n.nspname::text AS schema, p.proowner AS owner, quote_ident(r.rolname) AS owner_name, 'f' AS kind
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_roles r ON r.oid = p.proowner
WHERE n.nspname::text = $1 AND p.proname::text = $2 AND p.pronargs = 0 AND p.prorettype = 'trigger'::regtype
