-- The relation $2 of the schema $1, with or without privileges on it; its name in full.
SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, n.nspname::text AS schema, c.relowner AS owner, quote_ident(r.rolname) AS owner_name, c.relkind::text AS kind
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_roles r ON r.oid = c.relowner
WHERE n.nspname::text = $1 AND c.relname::text = $2
