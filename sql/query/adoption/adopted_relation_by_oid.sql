-- The relation of number $1, as adopted_relation.sql has it.
SELECT c.oid, format('%I.%I', n.nspname, c.relname), n.nspname::text, c.relowner, quote_ident(r.rolname), c.relkind::text
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_roles r ON r.oid = c.relowner
WHERE c.oid = $1
