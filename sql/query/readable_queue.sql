-- The queue of a vectorizer, whether the caller may read it, and its intake.
SELECT c.oid, c.relname::text,
       has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.relnamespace, 'USAGE'),
       (SELECT i.oid FROM pg_class i WHERE i.oid = v.intake),
       v.source::oid, v.source_pk
FROM ai._seen_vectorizer v
JOIN pg_class c ON c.oid = v.queue
WHERE v.id = $1
