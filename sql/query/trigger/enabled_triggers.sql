-- The triggers of the vectorizer $1 that fire: the transactions that have written them last, and that have made them.
SELECT t.xmin::text::int8, d.xmin::text::int8
FROM ai._vectorizer v
JOIN pg_trigger t ON t.tgrelid = v.source AND t.tgenabled = 'O'
    AND (t.tgfoid = ai._trigger_function(v.trigger_function) OR t.tgfoid = 'ai._append_change'::regproc AND t.tgname = v.trigger_name)
JOIN pg_depend d ON d.classid = 'pg_trigger'::regclass AND d.objid = t.oid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = t.tgrelid
WHERE v.id = $1
