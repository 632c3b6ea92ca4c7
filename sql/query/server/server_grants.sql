-- Who may use which server of ours, as Postgres writes it.
SELECT s.srvname::text, coalesce(s.srvacl, acldefault('S', s.srvowner))::text
FROM pg_foreign_server s
JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
WHERE w.fdwname IN ('ai_provider', 'ai_source')
