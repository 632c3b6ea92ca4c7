-- What the checks of a schedule and of an index need to know of a vectorizer that there is: the length of its vectors, whether
-- they are in a column of a partitioned table, and which schedule and index it has.
SELECT CASE WHEN v.config #>> '{embedding,dimensions}' ~ '^[0-9]{1,9}$' THEN (v.config #>> '{embedding,dimensions}')::int8 ELSE 0 END,
       v.target IS NULL AND coalesce(s.relkind = 'p', false),
       coalesce(s.oid::regclass::text, ''),
       v.config ->> 'scheduling',
       v.config ->> 'indexing'
FROM ai._seen_vectorizer v
LEFT JOIN pg_class s ON s.oid = v.source
WHERE v.id = $1
