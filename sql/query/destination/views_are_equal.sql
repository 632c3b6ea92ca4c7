-- Whether the views $1 and $2 are the same query. The text does not show casts that were not written out: their functions are
-- among what a query depends on.
WITH used AS (
    SELECT r.ev_class, d.refclassid, d.refobjid, d.refobjsubid
    FROM pg_rewrite r
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.deptype = 'n'
    WHERE r.ev_class IN ($1::oid, $2::oid) AND NOT (d.refclassid = 'pg_class'::regclass AND d.refobjid = r.ev_class)
)
SELECT pg_get_viewdef($1::oid) = pg_get_viewdef($2::oid)
   AND NOT EXISTS (SELECT u.refclassid, u.refobjid, u.refobjsubid FROM used u WHERE u.ev_class = $1::oid
                   EXCEPT SELECT u.refclassid, u.refobjid, u.refobjsubid FROM used u WHERE u.ev_class = $2::oid)
