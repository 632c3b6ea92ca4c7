-- The vectorizers whose sources have lost one of our triggers.
SELECT DISTINCT v.name::text
FROM pg_event_trigger_dropped_objects() d
JOIN ai._vectorizer v ON d.address_names[3] IN (v.trigger_name, v.trigger_name || '_delete', v.trigger_name || '_truncate')
JOIN pg_class s ON s.oid = v.source AND s.relname = d.address_names[2]
JOIN pg_namespace n ON n.oid = s.relnamespace AND n.nspname = d.address_names[1]
WHERE d.object_type = 'trigger'
