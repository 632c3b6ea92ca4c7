-- All vectorizers with what the worker needs to build their statements. Columns of the source go by number, so that a
-- renamed column is followed; queue, failed queue and destination keep the names of the primary key at creation.
SELECT v.id,
       v.name::text,
       v.source,
       s.relowner,
       v.source::text AS source_name,
       v.queue::text AS queue_name,
       v.queue_failed::text AS failed_name,
       v.target::text AS target_name,
       v.config,
       v.disabled,
       (SELECT jsonb_agg(jsonb_build_object(
                   'stored', pk.value ->> 'attname',
                   'queued', coalesce(pk.value ->> 'queued', pk.value ->> 'attname'),
                   'source', a.attname)
               ORDER BY (pk.value ->> 'pknum')::int)
        FROM jsonb_array_elements(v.source_pk) AS pk
        JOIN pg_attribute a ON a.attrelid = v.source AND a.attnum = (pk.value ->> 'attnum')::int AND NOT a.attisdropped
       ) AS primary_key,
       (SELECT jsonb_object_agg(a.attname, format_type(a.atttypid, a.atttypmod))
        FROM pg_attribute a
        WHERE a.attrelid = v.source AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT quote_ident(n.nspname) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        JOIN pg_attribute a ON a.atttypid = t.oid
        WHERE a.attrelid = v.target AND a.attname = 'embedding') AS vector_schema,
       st.reason IS NOT NULL AND st.paused_at >= greatest(pg_postmaster_start_time(), pg_conf_load_time()) AS paused,
       extract(epoch FROM st.retry_at - now())::float8 AS retry_in,
       st.id IS NOT NULL OR EXISTS (SELECT FROM ai._vectorizer_errors e WHERE e.id = v.id) AS has_notes
FROM ai._vectorizer v
LEFT JOIN pg_class s ON s.oid = v.source
LEFT JOIN ai._vectorizer_state st ON st.id = v.id
ORDER BY v.id
