-- The relation of number $1, as adopted_relation.sql has it.
SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, n.nspname::text AS schema, c.relowner AS owner, quote_ident(r.rolname) AS owner_name, c.relkind::text AS kind
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_roles r ON r.oid = c.relowner
WHERE c.oid = $1
