-- The relation $2 of the schema $1, whoever looks; its name in full.
SELECT c.oid, format('%I.%I', n.nspname, c.relname), n.nspname::text, c.relowner, quote_ident(r.rolname), c.relkind::text
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_roles r ON r.oid = c.relowner
WHERE n.nspname::text = $1 AND c.relname::text = $2
