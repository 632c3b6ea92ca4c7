-- The vectorizers of the sources $1 that have changed hands and of whose parts some belong to another role than the source: the
-- parts in the order in which they are locked. Not where only a part is another's: that is for its owner to mend, and the worker
-- says so; but where all of them are another's, of one role: the source has come back to the role that the vectorizer works for,
-- from one that had not accepted it. A row that was changed by hand may name any table, and must not be in the way of what is done to its source; nothing
-- of Postgres' own is a part.
SELECT v.id, v.source::oid AS source, s.relowner AS heir, s.relowner::regrole::text AS heir_name,
       ARRAY(SELECT p.oid FROM unnest(ARRAY[v.queue, v.queue_failed, v.intake, v.target]::oid[]) WITH ORDINALITY AS p (oid, place)
             WHERE p.oid >= 16384 ORDER BY p.place) AS tables,
       v.intake::oid AS intake, v.target::oid AS target, CASE WHEN v.view::oid >= 16384 THEN v.view::oid END AS view,
       v.trigger_name::text AS trigger_name, s.relkind = 'p' AS partitioned, v.source_pk::text AS source_pk
FROM ai._vectorizer v
JOIN pg_class s ON s.oid = v.source
WHERE v.source = ANY ($1::oid[]) AND (v.owner IS NULL OR ai._stranger(v.source, v.owner::text, v.owner_place) IS NOT NULL
       OR (SELECT count(DISTINCT o.owner) = 1 AND bool_and(o.owner <> s.relowner)
           FROM (SELECT c.relowner FROM pg_class c WHERE c.oid IN (v.queue, v.queue_failed, v.intake, v.target)
                 UNION ALL
                 SELECT p.proowner FROM pg_proc p WHERE p.oid = ai._trigger_function(v.trigger_function)) AS o (owner)))
  AND (EXISTS (SELECT FROM pg_class c
               WHERE c.oid IN (v.queue, v.queue_failed, v.intake, v.target, v.view) AND c.oid >= 16384
                 AND c.relowner <> s.relowner)
       OR EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                  WHERE t.tgrelid = v.source AND starts_with(t.tgname, v.trigger_name) AND NOT t.tgisinternal
                    AND t.tgfoid <> 'ai._append_change'::regproc AND p.proowner <> s.relowner))
ORDER BY v.id
