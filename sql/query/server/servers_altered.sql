-- The names of the servers of ours among the objects of the classes $1, with the OIDs $2, and of those that user
-- mappings among them are for.
SELECT DISTINCT s.srvname::text
FROM unnest($1::oid[], $2::oid[]) AS d (classid, objid)
LEFT JOIN pg_user_mapping m ON d.classid = 'pg_user_mapping'::regclass AND m.oid = d.objid
JOIN pg_foreign_server s ON s.oid = coalesce(m.umserver, CASE WHEN d.classid = 'pg_foreign_server'::regclass THEN d.objid END)
JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
WHERE w.fdwname IN ('ai_provider', 'ai_source')
