-- What of a vectorizer goes back to pgai, and the schema of its queue.
SELECT v.source::oid AS source, v.queue::text AS queue, v.disabled, v.source_pk,
       (SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = v.queue) AS queue_schema
FROM ai._vectorizer v
WHERE v.id = $1
