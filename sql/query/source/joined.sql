-- The transactions that have made the source $1 a partition, or a child or a parent of another table.
SELECT i.xmin::text::int8
FROM pg_class c
JOIN pg_inherits i ON i.inhrelid = c.oid OR (i.inhparent = c.oid AND c.relkind <> 'p')
WHERE c.oid = $1
