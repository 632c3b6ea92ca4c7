-- The queue of a vectorizer, whether the caller may read it, its intake, whose it is, and the primary key, with the columns that
-- its source has and their types. A view asks this of each of a thousand vectorizers: it is to be all that is asked.
SELECT c.oid AS queue, c.relname::text AS name,
       has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.relnamespace, 'USAGE') AS may_read,
       (SELECT i.oid FROM pg_class i WHERE i.oid = v.intake AND i.relowner = c.relowner) AS intake,
       c.relowner AS owner,
       v.source_pk,
       (SELECT array_agg(a.attnum ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = v.source AND a.attnum > 0 AND NOT a.attisdropped) AS numbers,
       (SELECT array_agg(a.atttypid ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = v.source AND a.attnum > 0 AND NOT a.attisdropped) AS types
FROM ai._seen_vectorizer v
JOIN pg_class c ON c.oid = v.queue
WHERE v.id = $1
