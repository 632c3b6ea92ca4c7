-- What runs when a row of the table $1 is updated, and is none of the extension: triggers, and rules.
SELECT string_agg(c.name, ', ')
FROM (
    SELECT DISTINCT format('trigger %I', t.tgname) AS name
    FROM pg_trigger t
    JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE (t.tgrelid = $1::regclass OR t.tgrelid IN (SELECT r.relid FROM pg_partition_tree($1::regclass) AS r))
      AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 16 = 16
      AND p.pronamespace <> (SELECT e.extnamespace FROM pg_extension e WHERE e.extname = 'ai')
    UNION
    SELECT format('rule %I', r.rulename)
    FROM pg_rewrite r
    WHERE r.ev_class = $1::regclass AND r.ev_type = '2'
    ORDER BY name
    LIMIT 5
) AS c
