-- What of queue, failed queue and intake of the vectorizer $1 is not as it was made: a table, a column that it should have, and the
-- type that the column has now; NULL where it is gone.
SELECT format('%I.%I', n.nspname, c.relname), made.name,
       CASE WHEN a.attnum IS NOT NULL THEN format_type(a.atttypid, NULL) END
FROM ai._vectorizer v
CROSS JOIN LATERAL (
    SELECT v.queue, q.name, q.kind::regtype::oid, false
    FROM (VALUES ('item', 'int8'), ('version', 'int8'), ('lease', 'int8'), ('attempts', 'int4'), ('crashes', 'int4'),
                 ('loading_retries', 'int4'), ('backfill', 'bool'), ('queued_at', 'timestamptz'),
                 ('loading_retry_after', 'timestamptz'), ('lease_taken_at', 'timestamptz'),
                 ('lease_expires_at', 'timestamptz')) AS q (name, kind)
    UNION ALL
    SELECT v.queue_failed, f.name, f.kind::regtype::oid, false
    FROM (VALUES ('failure_step', 'text'), ('failure_class', 'text'), ('reason', 'text'), ('attempts', 'int4'),
                 ('created_at', 'timestamptz')) AS f (name, kind)
    UNION ALL
    -- Keys have the types that they have in the source.
    SELECT t.oid, coalesce(pk.value ->> 'queued', pk.value ->> 'attname'), s.atttypid, true
    FROM jsonb_array_elements(CASE WHEN jsonb_typeof(v.source_pk) = 'array' THEN v.source_pk ELSE '[]' END) AS pk
    JOIN pg_attribute s ON s.attrelid = v.source AND s.attnum::text = pk.value ->> 'attnum' AND NOT s.attisdropped
    CROSS JOIN unnest(ARRAY[v.queue, v.queue_failed, v.intake]) AS t (oid)
) AS made (oid, name, kind, is_key)
JOIN pg_class c ON c.oid = made.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = made.name AND NOT a.attisdropped
WHERE v.id = $1 AND a.atttypid IS DISTINCT FROM made.kind
  -- The source may have been altered unseen: a key that Postgres compares with the other type, as int4 and int8, still fits.
  AND NOT (made.is_key AND EXISTS (
      SELECT FROM pg_amop o JOIN pg_opfamily f ON f.oid = o.amopfamily AND f.opfnamespace = 'pg_catalog'::regnamespace
      WHERE o.amopmethod = (SELECT m.oid FROM pg_am m WHERE m.amname = 'btree') AND o.amopstrategy = 3
        AND o.amoplefttype = a.atttypid AND o.amoprighttype = made.kind))
LIMIT 1
