-- What of a vectorizer goes back to pgai, and the schema of its queue.
SELECT v.source::oid, v.queue::text, v.disabled, v.source_pk,
       (SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = v.queue)
FROM ai._vectorizer v
WHERE v.id = $1
