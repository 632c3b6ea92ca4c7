-- The trigger functions of a source table's vectorizers ($1 NULL: of all; $2: of one), and the names that go into them. They
-- are known by name, and made anew as the extension: only functions that can be meant, and only the owner's. When the source
-- changes hands, they are still those of the owner before, as the queue is.
SELECT v.id, v.source, v.source::text AS source_name, v.queue::text AS queue_name, v.queue_failed::text AS failed_name, v.target::text AS target_name,
       format('%I.%I', n.nspname, p.proname) AS function,
       v.source_pk, c.relkind = 'p' AS partitioned,
       p.prosrc AS body,
       EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = v.source AND k.contype = 'p' AND k.condeferrable) AS deferrable,
       c.relowner AS owner, v.trigger_name::text AS trigger_name,
       EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = v.source AND t.tgname = v.trigger_name || '_replica') AS follows_replication,
       p.proowner AS function_owner,
       v.intake::text AS intake_name,
       -- As create_trigger_function.sql has it: an owner may have set another search_path for it.
       p.prosecdef AND NOT p.proleakproof AND p.prosupport = 0 AND l.lanname = 'plpgsql'
           AND p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp', 'TimeZone=UTC', 'DateStyle=ISO, YMD',
                                    'IntervalStyle=postgres', 'extra_float_digits=1', 'bytea_output=hex']
           AND cardinality(p.proconfig) = 6 AS is_as_made,
       p.oid AS function_oid,
       NOT EXISTS (SELECT FROM pg_class o
                   WHERE o.oid IN (v.queue, v.queue_failed, v.intake, v.target)
                     -- Nothing of Postgres' own is a part, whatever a row says that was changed by hand.
                     AND (o.relowner <> c.relowner OR o.oid < 16384)) AS is_of_one_owner,
       (SELECT s.nspname::text FROM pg_namespace s WHERE s.oid = q.relnamespace) AS queue_schema
FROM ai._seen_vectorizer v
JOIN pg_class c ON c.oid = v.source
JOIN pg_class q ON q.oid = v.queue
JOIN pg_proc p ON p.oid = ai._trigger_function(v.trigger_function)
    AND p.prorettype = 'trigger'::regtype AND p.proowner IN (c.relowner, q.relowner)
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_language l ON l.oid = p.prolang
WHERE ($1 IS NULL OR v.source = $1) AND ($2 IS NULL OR v.id = $2)
  AND EXISTS (SELECT FROM pg_class f WHERE f.oid = v.queue_failed)
  AND (v.intake IS NULL OR EXISTS (SELECT FROM pg_class i WHERE i.oid = v.intake))
  AND (v.target IS NULL OR EXISTS (SELECT FROM pg_class t WHERE t.oid = v.target))
ORDER BY v.id
