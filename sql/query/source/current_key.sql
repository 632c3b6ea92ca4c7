-- The names of a primary key in source, queue and destination; NULL when a column of it is gone.
SELECT CASE WHEN count(*) = jsonb_array_length($2) THEN
       jsonb_agg(jsonb_build_object(
               'stored', coalesce(pk.value ->> 'stored', pk.value ->> 'attname'),
               'queued', coalesce(pk.value ->> 'queued', pk.value ->> 'attname'),
               'source', a.attname)
           ORDER BY (pk.value ->> 'pknum')::int) END
FROM jsonb_array_elements($2) AS pk
JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = (pk.value ->> 'attnum')::int AND NOT a.attisdropped
