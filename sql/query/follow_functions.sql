-- The functions of triggers that were renamed or moved, by what the triggers call now. Only a function of the owner of the
-- source: it is made anew, whoever wrote it.
UPDATE ai._vectorizer v
SET trigger_function = format('%I.%I', n.nspname, p.proname)
FROM pg_trigger t
JOIN pg_class s ON s.oid = t.tgrelid
JOIN pg_proc p ON p.oid = t.tgfoid AND p.proowner = s.relowner
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE t.tgrelid = v.source AND t.tgname = v.trigger_name || '_truncate' AND to_regproc(v.trigger_function) IS NULL
