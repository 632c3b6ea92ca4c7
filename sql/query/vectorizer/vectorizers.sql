-- The vectorizers $1, with what the worker needs to build their statements. Columns of the source go by number, so that a
-- renamed column is followed; queue, failed queue and destination keep the names of the primary key at creation.
SELECT v.id,
       v.name::text,
       v.source,
       s.relowner,
       -- By tables, not by casts of regclass: a cast asks a cache, which may not have heard of a rename that has just been
       -- committed, and of which we have.
       (SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = v.source) AS source_name,
       (SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = v.queue) AS queue_name,
       (SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = v.queue_failed) AS failed_name,
       (SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = v.intake) AS intake_name,
       (SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = v.target) AS target_name,
       -- As text: whoever parses it says for each what is wrong. What is larger than a configuration may be is not even read.
       CASE WHEN pg_column_size(v.config) <= 1000000 THEN v.config::text END AS config,
       v.disabled,
       v.source_pk::text AS source_pk,
       -- Of a domain the type below it: that is what clients are told, and what Python makes something of. One over more than
       -- eight domains is a type of its own: a source may have 1,600 columns, and all wait meanwhile.
       (SELECT jsonb_object_agg(a.attname, format_type(
            CASE WHEN t.typtype <> 'd' THEN t.oid ELSE coalesce((
                WITH RECURSIVE base AS (
                    SELECT t.typbasetype AS oid, 1 AS depth
                    UNION ALL
                    SELECT d.typbasetype, b.depth + 1 FROM base b JOIN pg_type d ON d.oid = b.oid WHERE d.typtype = 'd' AND b.depth < 8
                )
                SELECT b.oid FROM base b JOIN pg_type d ON d.oid = b.oid WHERE d.typtype <> 'd'
            ), t.oid) END, NULL))
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = v.source AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       -- Also by way of domains.
       (WITH RECURSIVE held AS (
            SELECT t.oid, t.typtype, t.typbasetype, 1 AS depth FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
            WHERE a.attrelid = v.source AND a.attname = v.config #>> '{loading,column_name}' AND NOT a.attisdropped
            UNION ALL
            SELECT t.oid, t.typtype, t.typbasetype, h.depth + 1 FROM held h JOIN pg_type t ON t.oid = h.typbasetype
            WHERE h.typtype = 'd' AND h.depth < 32
        )
        SELECT EXISTS (SELECT FROM held h WHERE h.oid = 'bytea'::regtype)) AS holds_bytes,
       vector.vector_schema,
       vector.vector_type,
       st.reason IS NOT NULL AND st.paused_at >= greatest(pg_postmaster_start_time(), pg_conf_load_time()) AS paused,
       -- Moments are subtracted as numbers: those that are infinite would fail all.
       extract(epoch FROM st.retry_at)::float8 - extract(epoch FROM now())::float8 AS retry_in,
       -- A table that is being restored has none yet.
       w.is_watched,
       st.id IS NOT NULL OR EXISTS (SELECT FROM ai._vectorizer_errors e WHERE e.id = v.id) AS has_notes,
       coalesce((SELECT least(e.occurrences, 1000) FROM ai._vectorizer_errors e
                 WHERE e.id = v.id AND e.step = 'loading' AND md5(coalesce(e.primary_key::text, '')) = md5('')
                   AND e.failure_class <> 'configuration'), 0)::int4 AS refusals,
       (SELECT extract(epoch FROM r.next_run)::float8 FROM ai._vectorizer_run r WHERE r.id = v.id)
           - extract(epoch FROM now())::float8 AS runs_in,
       EXISTS (SELECT FROM pg_class c
               WHERE c.oid IN (v.source, v.target, v.queue, v.queue_failed, v.intake) AND c.relrowsecurity) AS has_policies,
       -- Others could have their code run by what is done on their tables in the name of the owner of the source.
       (SELECT string_agg(format('%I.%I belongs to %I', n.nspname, c.relname, pg_get_userbyid(c.relowner)), ', '
                          ORDER BY n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid IN (v.target, v.queue, v.queue_failed, v.intake) AND c.relowner <> s.relowner) AS of_others,
       quote_ident(pg_get_userbyid(s.relowner)) AS owner_name,
       array_remove(ARRAY[v.source, v.queue, v.queue_failed, v.intake, v.target]::oid[], NULL) AS relations,
       v.queue::oid AS queue, v.queue_failed::oid AS failed, v.intake::oid AS intake, v.target::oid AS target,
       (SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
        WHERE a.attrelid = v.source AND a.attname = v.config #>> '{destination,embedding_column}'
          AND NOT a.attisdropped) AS embedding_type,
       EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = v.source AND r.is_instead AND r.ev_type = '2') AS has_rules,
       v.owner::text AS works_for,
       ai._stranger(v.source, v.owner::text, v.owner_place) AS stranger,
       coalesce(v.target, v.source)::oid AS destination,
       (SELECT quote_ident(n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = coalesce(v.target, v.source)) AS destination_schema
FROM ai._vectorizer v
LEFT JOIN pg_class s ON s.oid = v.source
LEFT JOIN ai._vectorizer_state st ON st.id = v.id
LEFT JOIN ai._watched_vectorizer w ON w.id = v.id AND w.id = ANY ($1::int4[])
-- pgvector's own type, whatever the column is of: vectors are handed over in its form, and one of the owner's own types would
-- read them, and what is behind them in memory, as something else.
LEFT JOIN LATERAL (
    SELECT quote_ident(n.nspname) AS vector_schema, t.oid AS vector_type
    FROM pg_extension e
    JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.classid = 'pg_type'::regclass
    JOIN pg_type t ON t.oid = d.objid AND t.typname = 'vector'
    -- The owner of the extension may add types to it.
    JOIN pg_roles r ON r.oid = t.typowner AND r.rolsuper AND t.typtype = 'b'
    JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE e.extname = 'vector'
      AND EXISTS (SELECT FROM pg_attribute a
                  WHERE a.attrelid = coalesce(v.target, v.source)
                    AND a.attname = coalesce(v.config #>> '{destination,embedding_column}', 'embedding')
                    AND NOT a.attisdropped)
) AS vector ON true
WHERE v.id = ANY ($1::int4[])
ORDER BY v.id
