-- The functions of triggers that were renamed or moved, by what the triggers call now; what has their name by now may be another.
-- Only a function of the owner of the source: it is made anew, whoever wrote it. An UPDATE of no row would wake the worker, which
-- asks this as often as it is woken.
SELECT f.id, f.name
FROM (
    SELECT DISTINCT ON (v.id) v.id, p.oid, v.trigger_function, format('%I.%I', n.nspname, p.proname) AS name
    FROM ai._vectorizer v
    JOIN pg_trigger t ON t.tgrelid = v.source AND NOT t.tgisinternal AND t.tgfoid <> 'ai._append_change'::regproc
        AND t.tgname IN (v.trigger_name, v.trigger_name || '_delete', v.trigger_name || '_truncate')
    JOIN pg_class s ON s.oid = t.tgrelid
    JOIN pg_proc p ON p.oid = t.tgfoid AND p.proowner = s.relowner
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE $1::int4[] IS NULL OR v.id = ANY ($1)
    ORDER BY v.id, t.tgname DESC
) AS f
WHERE ai._trigger_function(f.trigger_function) IS DISTINCT FROM f.oid
