-- The function of the trigger $2 on the source $1: pgai calls both by the same name.
SELECT p.oid, p.oid::regprocedure::text AS name, n.nspname::text AS schema, p.proowner AS owner, quote_ident(r.rolname) AS owner_name, 'f' AS kind
FROM pg_trigger t
JOIN pg_proc p ON p.oid = t.tgfoid
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_roles r ON r.oid = p.proowner
WHERE t.tgrelid = $1 AND t.tgname::text = $2 AND p.proname = t.tgname AND NOT t.tgisinternal
