-- The table $1 of a vectorizer with the source $2, its owner, and what keeps it from changing hands (NULL: nothing). $3: an owner
-- may have added columns and indexes to it; $4: nothing may be in the way of who writes to it.
--
-- What is allowed is what the extension makes, and what runs no code and refers to nothing of anybody. What is bad is not searched
-- for: functions of Postgres itself run statements and read files, and nothing in the catalogues tells which.
SELECT c.oid::regclass::text, c.relowner, CASE
    WHEN c.relkind <> 'r' OR c.relispartition OR c.reloftype <> 0 THEN 'it is no table any more, or no plain one'
    WHEN EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid) THEN 'it has rules'
    WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND c.oid IN (k.conrelid, k.confrelid))
        THEN 'it has foreign keys, or is referred to by one'
    WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid) THEN 'it has triggers'
    WHEN c.relrowsecurity OR c.relforcerowsecurity OR EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
        THEN 'it has row security or policies'
    WHEN EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)) THEN 'it inherits, or is inherited from'
    -- PostgreSQL 18 has a row for each NOT NULL.
    WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype NOT IN ('p', 'u', 'n'))
        THEN 'it has constraints that no vectorizer has'
    WHEN EXISTS (SELECT FROM pg_statistic_ext e WHERE e.stxrelid = c.oid) THEN 'it has extended statistics'
    WHEN EXISTS (SELECT FROM pg_publication_rel r
                 JOIN pg_publication p ON p.oid = r.prpubid
                 JOIN pg_roles o ON o.oid = p.pubowner
                 WHERE r.prrelid = c.oid AND p.pubowner <> s.relowner AND NOT o.rolsuper)
        THEN 'it is in a publication of another role'
    WHEN EXISTS (
        SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          AND t.typnamespace <> 'pg_catalog'::regnamespace
          -- The key has the types that it has in the source, which changes hands with them.
          AND t.oid NOT IN (SELECT k.atttypid FROM pg_attribute k WHERE k.attrelid = $2 AND k.attnum > 0 AND NOT k.attisdropped)
          AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                          WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
                            AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'vector'))
        THEN 'it has columns of types that are neither those of Postgres, nor of pgvector, nor of the key'
    WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped)
        THEN 'it has generated columns'
    WHEN EXISTS (
        SELECT FROM pg_attrdef d
        JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        JOIN pg_type t ON t.oid = a.atttypid
        WHERE d.adrelid = c.oid
          -- Casts that are not written out are not shown: among the types of Postgres they are its own.
          AND (t.typnamespace <> 'pg_catalog'::regnamespace
               OR pg_get_expr(d.adbin, d.adrelid) <> ALL (ARRAY[
                   'now()', 'CURRENT_TIMESTAMP', '0', '1', 'false', '''''::text', '''unknown''::text', 'gen_random_uuid()'])))
        THEN 'it has defaults that no vectorizer has'
    WHEN EXISTS (SELECT FROM pg_depend d JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
                 WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
                   AND d.deptype = 'a')
        THEN 'it owns sequences'
    WHEN EXISTS (
        SELECT FROM pg_index i
        WHERE i.indrelid = c.oid
          AND ($4 OR i.indexprs IS NOT NULL
               OR i.indpred IS NOT NULL
                  AND ($3 OR pg_get_expr(i.indpred, i.indrelid) <> ALL (ARRAY[
                      '(loading_retry_after IS NULL)', '(loading_retry_after IS NOT NULL)']))))
        THEN 'it has indexes that no vectorizer has'
END
FROM pg_class c, pg_class s
WHERE c.oid = $1 AND s.oid = $2
