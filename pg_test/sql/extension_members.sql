-- What holds for everything that the extension brings along.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
-- Functions look names up where nobody else can create any. Those in C that run no SQL have no names to look up.
SELECT p.oid::regprocedure AS function, l.lanname AS language, p.proconfig
FROM pg_depend d
JOIN pg_proc p ON p.oid = d.objid
JOIN pg_language l ON l.oid = p.prolang
WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'ai')
  AND p.proconfig IS DISTINCT FROM '{"search_path=pg_catalog, pg_temp"}'
ORDER BY p.oid::regprocedure::text COLLATE "C";
-- Those that run as the extension, whoever calls them: for event triggers and triggers.
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'ai'::regnamespace AND p.prosecdef
ORDER BY p.oid::regprocedure::text COLLATE "C";
-- Every object says what it is for.
SELECT pg_describe_object(d.classid, d.objid, 0) AS without_comment
FROM pg_depend d
WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'ai')
  AND obj_description(d.objid, d.classid::regclass::name) IS NULL
ORDER BY 1;
-- Nobody but the extension creates in its schema, or writes to its tables.
SELECT has_schema_privilege('public', 'ai', 'USAGE') AS usage, has_schema_privilege('public', 'ai', 'CREATE') AS "create";
SELECT c.oid::regclass AS relation, c.relkind, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) AS of_public
FROM pg_class c
LEFT JOIN LATERAL aclexplode(c.relacl) AS a ON a.grantee = 0
WHERE c.relnamespace = 'ai'::regnamespace AND c.relkind IN ('r', 'v', 'S')
GROUP BY c.oid, c.relkind, c.relname
ORDER BY c.relname COLLATE "C";
