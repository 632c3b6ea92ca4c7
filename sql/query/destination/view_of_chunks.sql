-- The view $1: its name, its owner, and its columns, where it is nothing but a query.
SELECT c.oid::regclass::text, c.relowner,
       CASE WHEN c.relkind = 'v'
             AND NOT EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN')
             AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid)
             AND NOT EXISTS (SELECT FROM pg_attrdef d WHERE d.adrelid = c.oid)
       THEN ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum) END
FROM pg_class c
WHERE c.oid = $1
