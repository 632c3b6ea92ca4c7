-- What there is to drop, by name; NULL for what is gone already, for what its owner has made something else of, and for what it
-- cannot have made: a row that was changed by hand may name tables of Postgres.
WITH part AS NOT MATERIALIZED (
    SELECT c.oid, c.relkind IN ('r', 'p') AND c.oid >= 16384 AS is_of_it FROM pg_class c
)
SELECT (SELECT c.oid::regclass::text FROM pg_class c WHERE c.oid = v.source) AS source_name,
       (SELECT c.relowner FROM pg_class c WHERE c.oid = v.source) AS owner,
       (SELECT c.oid::regclass::text FROM part c WHERE c.oid = v.queue AND c.is_of_it) AS queue_name,
       (SELECT c.oid::regclass::text FROM part c WHERE c.oid = v.queue_failed AND c.is_of_it) AS failed_name,
       (SELECT c.oid::regclass::text FROM part c WHERE c.oid = v.target AND c.is_of_it) AS target_name,
       (SELECT c.oid::regclass::text FROM pg_class c WHERE c.oid = v.view AND c.relkind = 'v' AND c.oid >= 16384) AS view_name,
       f.oid::regprocedure::text AS function,
       ARRAY(SELECT format('%I ON %s', t.tgname, t.tgrelid::regclass) FROM pg_trigger t
             WHERE t.tgparentid = 0
               AND (t.tgfoid = f.oid OR t.tgrelid = v.source AND t.tgname = v.trigger_name AND t.tgfoid = 'ai._append_change'::regproc)
             ORDER BY t.tgname) AS triggers,
       coalesce((SELECT pg_has_role(current_user, c.relowner, 'MEMBER')
                 FROM pg_class c WHERE c.oid IN (v.source, v.queue) ORDER BY c.oid = v.source DESC LIMIT 1), false)
           OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS may_drop,
       v.name::text AS name,
       v.config ->> 'destination' AS destination,
       v.source::oid AS source,
       (SELECT c.oid::regclass::text FROM part c WHERE c.oid = v.intake AND c.is_of_it) AS intake_name,
       ARRAY(SELECT c.oid::regclass::text FROM part c WHERE c.oid IN (v.queue, v.queue_failed, v.intake) AND NOT c.is_of_it ORDER BY 1) AS odd
FROM ai._seen_vectorizer v
-- By its name, which another role's function may have by now.
LEFT JOIN pg_proc f ON f.oid = ai._trigger_function(v.trigger_function)
    AND f.proowner IN (SELECT c.relowner FROM pg_class c WHERE c.oid IN (v.source, v.target, v.queue, v.queue_failed))
WHERE v.id = $1
