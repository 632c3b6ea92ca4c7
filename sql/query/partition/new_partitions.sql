-- Parts of the partitioned table $1 that vectorizer $2 does not know, and where owner $3 can read the rows of those that
-- have rows of their own: in the part, or else through the whole.
SELECT p.oid,
       CASE WHEN p.relkind = 'p' THEN NULL
            WHEN has_table_privilege($3, p.oid, 'SELECT') AND has_schema_privilege($3, p.relnamespace, 'USAGE')
                THEN p.oid::regclass || ' s'
            ELSE format('(SELECT * FROM %s w WHERE w.tableoid = %s) s', $1::regclass, p.oid) END
FROM ai._partitions($1::regclass) AS t (oid)
JOIN pg_class p ON p.oid = t.oid
WHERE p.relkind <> 'f'
  AND NOT EXISTS (SELECT FROM ai._seen_vectorizer v WHERE v.id = $2 AND p.oid = ANY (v.partitions))
ORDER BY p.oid
