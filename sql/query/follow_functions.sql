-- The functions of triggers that were renamed or moved, by what the triggers call now. Only a function of the owner of the
-- source: it is made anew, whoever wrote it. An UPDATE of no row would wake the worker, which asks this as often as it is woken.
SELECT v.id, format('%I.%I', n.nspname, p.proname)
FROM ai._vectorizer v
JOIN pg_trigger t ON t.tgrelid = v.source AND t.tgname = v.trigger_name || '_truncate'
JOIN pg_class s ON s.oid = t.tgrelid
JOIN pg_proc p ON p.oid = t.tgfoid AND p.proowner = s.relowner
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE to_regprocedure(v.trigger_function || '()') IS NULL
  AND ($1::int4[] IS NULL OR v.id = ANY ($1))
