-- The failed queues that the caller may look into, and what belongs to them.
SELECT v.id, s.relowner AS owner, v.source::oid AS source, v.source_pk,
       (SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = v.queue) AS queue_name,
       (SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = v.queue_failed) AS failed_name,
       -- Keys are data of the table, and may be signed addresses.
       has_table_privilege(v.source::oid, 'SELECT') AS may_read,
       (SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = v.intake) AS intake_name,
       v.queue::oid AS queue, v.queue_failed::oid AS failed, v.intake::oid AS intake
FROM ai._seen_vectorizer v
JOIN pg_class s ON s.oid = v.source
WHERE (SELECT count(*) FROM pg_class c
       WHERE c.oid IN (v.queue, v.queue_failed, v.intake) AND c.relowner <> s.relowner) = 0
  AND (pg_has_role(s.relowner, 'USAGE') OR has_table_privilege('ai._vectorizer', 'SELECT'))
  -- A policy that is forced on its owner would run, and hide rows: there is nothing to be seen in such a queue.
  AND (SELECT count(*) FROM pg_class c
       WHERE c.oid IN (v.queue, v.queue_failed, v.intake) AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
         -- A number of a dump may be that of another's table.
         AND c.relowner = s.relowner) = 3
ORDER BY v.id
