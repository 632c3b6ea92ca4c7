-- The vectorizers that need a column that was dropped, and the column.
SELECT DISTINCT v.name::text, d.address_names[3]
FROM pg_event_trigger_dropped_objects() d
JOIN ai._vectorizer v ON d.objid = v.source
WHERE d.object_type = 'table column'
  AND (d.objsubid IN (SELECT c.value::int FROM jsonb_each_text(v.columns) AS c)
       OR EXISTS (SELECT FROM jsonb_array_elements(v.source_pk) AS pk WHERE (pk.value ->> 'attnum')::int = d.objsubid))
