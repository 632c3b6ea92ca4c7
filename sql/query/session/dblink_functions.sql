-- What ends the connections that dblink keeps: a function that lists those with names, one that ends one of these, and one for the
-- one without a name. Only the extension's own; no row where it is not there.
SELECT (SELECT p.oid FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
          AND p.proname = 'dblink_get_connections' AND p.pronargs = 0),
       (SELECT p.oid FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
          AND p.proname = 'dblink_disconnect' AND p.pronargs = 1),
       (SELECT p.oid FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
          AND p.proname = 'dblink_disconnect' AND p.pronargs = 0)
FROM pg_extension e WHERE e.extname = 'dblink'
