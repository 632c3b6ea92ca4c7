-- pgvector's own type of vectors, where the extension has more than one of this name: its owner may add types to it.
SELECT t.oid, n.nspname::text AS schema
FROM pg_extension e
JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.classid = 'pg_type'::regclass
JOIN pg_type t ON t.oid = d.objid AND t.typname = 'vector'
JOIN pg_roles r ON r.oid = t.typowner AND r.rolsuper AND t.typtype = 'b'
JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE e.extname = 'vector'
