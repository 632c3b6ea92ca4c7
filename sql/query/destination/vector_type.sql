-- The schema of the type $1 of pgvector. The owner of the extension may add types to it. pgvector's own type belongs to a superuser.
SELECT quote_ident(n.nspname)
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.refclassid = 'pg_extension'::regclass
JOIN pg_extension e ON e.oid = d.refobjid
JOIN pg_roles r ON r.oid = t.typowner AND r.rolsuper AND t.typtype = 'b'
WHERE t.typname = $1 AND e.extname = 'vector'
