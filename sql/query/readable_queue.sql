-- The queue of a vectorizer, whether the caller may read it, and whether its owner can without running anything that was
-- put on it: it is the owner's, who may have made policies, or something else of it.
SELECT format('%I.%I', n.nspname, c.relname), c.relname::text, c.relowner,
       has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'),
       c.relkind = 'r' AND NOT c.relforcerowsecurity
           AND has_table_privilege(c.relowner, c.oid, 'SELECT') AND has_schema_privilege(c.relowner, n.oid, 'USAGE')
           AND (SELECT count(*) FROM pg_attribute a
                WHERE a.attrelid = c.oid AND NOT a.attisdropped
                  AND (a.attname, a.atttypid) IN (('lease', 'int8'::regtype), ('attempts', 'int4'::regtype),
                                                  ('loading_retry_after', 'timestamptz'::regtype))) = 3,
       v.source::oid, v.source_pk,
       (SELECT format('%I.%I', m.nspname, i.relname)
        FROM pg_class i JOIN pg_namespace m ON m.oid = i.relnamespace
        WHERE i.oid = v.intake AND i.relkind = 'r' AND NOT i.relforcerowsecurity
          AND has_table_privilege(i.relowner, i.oid, 'SELECT') AND has_schema_privilege(i.relowner, m.oid, 'USAGE'))
FROM ai._seen_vectorizer v
JOIN pg_class c ON c.oid = v.queue
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE v.id = $1
