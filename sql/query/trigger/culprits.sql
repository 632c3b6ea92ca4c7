-- What may keep rows from being written to the table $1, or to a part of it, without an error: triggers by row that
-- come before the write, and rules in its place.
SELECT string_agg(c.name, ', ')
FROM (
    SELECT DISTINCT format('trigger %I', t.tgname) AS name
    FROM pg_trigger t
    WHERE (t.tgrelid = $1::regclass OR t.tgrelid IN (SELECT p.relid FROM pg_partition_tree($1::regclass) AS p))
      AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 3 = 3
    UNION
    SELECT format('rule %I', r.rulename)
    FROM pg_rewrite r
    WHERE r.ev_class = $1::regclass AND r.is_instead AND r.ev_type <> '1'
    ORDER BY name
    LIMIT 5
) AS c
