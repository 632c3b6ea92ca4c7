-- Columns of the primary key $2 of the source $1 whose type is another than in the queue $3: the name of the column, and the
-- transaction that wrote it last.
SELECT a.attname::text, a.xmin::text::int8
FROM jsonb_array_elements(CASE WHEN jsonb_typeof($2) = 'array' THEN $2 ELSE '[]' END) AS pk
JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum::text = pk.value ->> 'attnum' AND NOT a.attisdropped
JOIN pg_attribute q ON q.attrelid = $3::regclass AND NOT q.attisdropped
    AND q.attname = coalesce(pk.value ->> 'queued', pk.value ->> 'attname')
WHERE (a.atttypid, a.atttypmod, a.attcollation) <> (q.atttypid, q.atttypmod, q.attcollation)
