-- A foreign server, what a role says of its own to it, and whether the role may use it. Run as the extension, and everything
-- is qualified: it must not depend on the settings of the caller.
SELECT s.srvname::pg_catalog.text AS name, w.fdwname::pg_catalog.text AS wrapper, s.srvtype AS kind, s.srvoptions AS options,
       (SELECT m.umoptions FROM pg_catalog.pg_user_mapping m
        WHERE m.umserver OPERATOR(pg_catalog.=) s.oid
          AND (m.umuser OPERATOR(pg_catalog.=) $2 OR m.umuser OPERATOR(pg_catalog.=) 0::pg_catalog.oid)
        ORDER BY m.umuser DESC LIMIT 1) AS mapping,
       pg_catalog.has_server_privilege($2, s.oid, 'USAGE') AS may_use,
       pg_catalog.format('The owner of the server can give it: GRANT USAGE ON FOREIGN SERVER %I TO %I;',
                         s.srvname, pg_catalog.pg_get_userbyid($2)) AS grant
FROM pg_catalog.pg_foreign_server s
JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid OPERATOR(pg_catalog.=) s.srvfdw
WHERE s.srvname OPERATOR(pg_catalog.=) $1::pg_catalog.name
