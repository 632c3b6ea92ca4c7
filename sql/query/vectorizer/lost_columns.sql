-- The vectorizers that need a column that was dropped, and the column.
SELECT DISTINCT v.name::text, d.address_names[3]
FROM pg_event_trigger_dropped_objects() d
JOIN ai._vectorizer v ON d.objid = v.source
WHERE d.object_type = 'table column'
  -- Numbers as texts, and only of what has members: a dump may have been changed by hand.
  AND (d.objsubid::text IN (
           SELECT c.value FROM jsonb_each_text(CASE WHEN jsonb_typeof(v.columns) = 'object' THEN v.columns ELSE '{}' END) AS c)
       OR EXISTS (
           SELECT FROM jsonb_array_elements(CASE WHEN jsonb_typeof(v.source_pk) = 'array' THEN v.source_pk ELSE '[]' END) AS pk
           WHERE pk.value ->> 'attnum' = d.objsubid::text))
