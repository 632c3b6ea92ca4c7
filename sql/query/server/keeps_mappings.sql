-- Whether the server $1 is one of ours, whose user mappings only superusers write.
SELECT EXISTS (
    SELECT FROM pg_foreign_server s
    JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    WHERE s.srvname = $1 AND w.fdwname IN ('ai_provider', 'ai_source'))
