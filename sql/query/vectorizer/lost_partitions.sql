-- The vectorizers of which a partition was dropped, or detached and lost our trigger. A trigger of the same name on
-- another role's table tells nothing. A table that has been dropped with it is no longer there to be asked whether it
-- was a part.
SELECT DISTINCT v.id
FROM pg_event_trigger_dropped_objects() d
JOIN ai._vectorizer v ON d.address_names[3] = v.trigger_name || '_truncate'
JOIN pg_class s ON s.oid = v.source AND s.relkind = 'p'
JOIN pg_namespace n ON n.oid = s.relnamespace
LEFT JOIN pg_class p ON p.oid = to_regclass(format('%I.%I', d.address_names[1], d.address_names[2]))
WHERE d.object_type = 'trigger' AND (d.address_names[1], d.address_names[2]) <> (n.nspname, s.relname)
  AND (p.oid = ANY (v.partitions)
       OR EXISTS (SELECT FROM pg_event_trigger_dropped_objects() t
                  WHERE t.classid = 'pg_class'::regclass AND t.objid = ANY (v.partitions)))
