-- The indexes of a method whose first column is the vector: is one ready; is one on its way, by whomever; did a build of
-- ours, whose name we know, leave one behind that is not valid. A build without CONCURRENTLY is not seen before it is done.
SELECT coalesce(bool_or(i.indisvalid), false) AS ready,
       coalesce(bool_or(NOT i.indisvalid AND p.pid IS NOT NULL), false) AS under_way,
       coalesce(bool_or(NOT i.indisvalid AND c.relname = $4::name), false) AS left_behind
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am m ON m.oid = c.relam
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
LEFT JOIN pg_stat_progress_create_index p ON p.datid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                                         AND p.index_relid = i.indexrelid
WHERE i.indrelid = $1 AND a.attname = $2::name AND m.amname = $3::name
