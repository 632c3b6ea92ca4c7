-- Views of vectorizers that were dropped.
UPDATE ai._vectorizer v SET view = NULL
WHERE v.view IN (SELECT d.objid FROM pg_event_trigger_dropped_objects() d WHERE d.object_type = 'view')
