-- The trigger functions of a source table's vectorizers ($1 NULL: of all; $2: of one), and the names that go into them.
SELECT v.id, v.source, v.source::text, v.queue::text, v.queue_failed::text, v.target::text,
       (SELECT format('%I.%I', n.nspname, p.proname)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = to_regproc(v.trigger_function)),
       v.source_pk, c.relkind = 'p',
       (SELECT p.prosrc FROM pg_proc p WHERE p.oid = to_regproc(v.trigger_function)),
       EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = v.source AND k.contype = 'p' AND k.condeferrable),
       c.relowner, v.trigger_name::text,
       EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = v.source AND t.tgname = v.trigger_name || '_replica'),
       v.intake::text,
       (SELECT n.nspname::text FROM pg_class q JOIN pg_namespace n ON n.oid = q.relnamespace WHERE q.oid = v.queue)
FROM ai._seen_vectorizer v
JOIN pg_class c ON c.oid = v.source
WHERE ($1 IS NULL OR v.source = $1) AND ($2 IS NULL OR v.id = $2)
  AND EXISTS (SELECT FROM pg_class q WHERE q.oid = v.queue)
  AND EXISTS (SELECT FROM pg_class f WHERE f.oid = v.queue_failed)
  AND (v.intake IS NULL OR EXISTS (SELECT FROM pg_class i WHERE i.oid = v.intake))
  AND (v.target IS NULL OR EXISTS (SELECT FROM pg_class t WHERE t.oid = v.target))
  AND EXISTS (SELECT FROM pg_proc p WHERE p.oid = to_regproc(v.trigger_function))
ORDER BY v.id
