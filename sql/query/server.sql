-- A foreign server, what a role says of its own to it, and whether the role may use it.
SELECT s.srvname::text, w.fdwname::text, s.srvtype, s.srvoptions,
       (SELECT m.umoptions FROM pg_user_mapping m WHERE m.umserver = s.oid AND m.umuser IN ($2, 0)
        ORDER BY m.umuser = 0 LIMIT 1),
       has_server_privilege($2, s.oid, 'USAGE'),
       format('The owner of the server can give it: GRANT USAGE ON FOREIGN SERVER %I TO %I;', s.srvname, pg_get_userbyid($2))
FROM pg_foreign_server s
JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
WHERE s.srvname = $1
