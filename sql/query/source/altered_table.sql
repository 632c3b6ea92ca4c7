-- What of queue, failed queue, intake and destination of the vectorizer $1 is not as it was made, and not of a type
-- that does as well: a table, a column that it should have, and the type that the column has now; NULL where it is
-- gone.
SELECT format('%I.%I', n.nspname, c.relname), made.name,
       CASE WHEN a.attnum IS NOT NULL THEN format_type(a.atttypid, NULL) END
FROM ai._vectorizer v
CROSS JOIN LATERAL (
    SELECT v.queue, q.name, q.kind::regtype::oid, 'exactly'
    FROM (VALUES ('item', 'int8'), ('version', 'int8'), ('lease', 'int8'), ('attempts', 'int4'), ('crashes', 'int4'),
                 ('loading_retries', 'int4'), ('backfill', 'bool'), ('queued_at', 'timestamptz'),
                 ('loading_retry_after', 'timestamptz'), ('lease_taken_at', 'timestamptz'),
                 ('lease_expires_at', 'timestamptz')) AS q (name, kind)
    UNION ALL
    SELECT v.queue_failed, f.name, f.kind::regtype::oid, 'exactly'
    FROM (VALUES ('failure_step', 'text'), ('failure_class', 'text'), ('reason', 'text'), ('attempts', 'int4'),
                 ('created_at', 'timestamptz')) AS f (name, kind)
    UNION ALL
    -- Any text, any number. Whether vectors can be written as another type, writing says.
    SELECT v.target, t.name, t.kind::regtype::oid, t.fits
    FROM (VALUES ('embedding_uuid', 'uuid', 'as base'), ('chunk_seq', 'int4', 'as category'),
                 ('chunk', 'text', 'as category')) AS t (name, kind, fits)
    WHERE v.target IS NOT NULL
    UNION ALL
    -- Keys have the types that they have in the source.
    SELECT t.oid, coalesce(pk.value ->> t.called, pk.value ->> 'attname'), s.atttypid, 'as key'
    FROM jsonb_array_elements(CASE WHEN jsonb_typeof(v.source_pk) = 'array' THEN v.source_pk ELSE '[]' END) AS pk
    JOIN pg_attribute s ON s.attrelid = v.source AND s.attnum::text = pk.value ->> 'attnum' AND NOT s.attisdropped
    CROSS JOIN (VALUES (v.queue, 'queued'), (v.queue_failed, 'queued'), (v.intake, 'queued'), (v.target, 'stored')) AS t (oid, called)
) AS made (oid, name, kind, fits)
JOIN pg_class c ON c.oid = made.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = made.name AND NOT a.attisdropped
LEFT JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type k ON k.oid = made.kind
WHERE v.id = $1 AND a.atttypid IS DISTINCT FROM made.kind
  AND NOT coalesce(made.fits = 'as base' AND t.typbasetype = made.kind, false)
  AND NOT coalesce(made.fits IN ('as category', 'as key') AND t.typcategory = k.typcategory AND t.typcategory IN ('S', 'N'), false)
  -- The source may have been altered unseen, or the others by their owner: a key that Postgres compares with the
  -- other type, as int4 and int8, still fits, and so does a domain over it.
  AND NOT (made.fits = 'as key' AND (
      coalesce(coalesce(nullif(t.typbasetype, 0), t.oid) = coalesce(nullif(k.typbasetype, 0), k.oid), false)
      OR EXISTS (
          SELECT FROM pg_amop o JOIN pg_opfamily f ON f.oid = o.amopfamily AND f.opfnamespace = 'pg_catalog'::regnamespace
          WHERE o.amopmethod = (SELECT m.oid FROM pg_am m WHERE m.amname = 'btree') AND o.amopstrategy = 3
            AND o.amoplefttype = a.atttypid AND o.amoprighttype = made.kind)))
LIMIT 1
