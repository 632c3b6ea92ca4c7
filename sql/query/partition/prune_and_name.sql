-- Like prune.sql, and says whose chunks they were. Of a hundred thousand documents at most, so that a large partition does
-- not fill the memory: what is remembered of the rest is remembered in vain, which does no harm.
WITH gone AS (
    DELETE FROM {table} t WHERE NOT EXISTS (SELECT FROM {source} s WHERE {source_is_it}) RETURNING t.*
)
SELECT DISTINCT ({primary_key})::text FROM gone t LIMIT 100000
