-- The vectorizers of the sources $1 of whose parts some belong to another role than the source: the parts in the order in which
-- they are locked.
SELECT v.id, v.source::oid, s.relowner, s.relowner::regrole::text,
       array_remove(ARRAY[v.queue, v.queue_failed, v.intake, v.target]::oid[], NULL), v.intake::oid, v.target::oid, v.view::oid,
       v.trigger_name::text, s.relkind = 'p', v.source_pk::text
FROM ai._vectorizer v
JOIN pg_class s ON s.oid = v.source
WHERE v.source = ANY ($1::oid[])
  AND (EXISTS (SELECT FROM pg_class c
               WHERE c.oid IN (v.queue, v.queue_failed, v.intake, v.target, v.view) AND c.relowner <> s.relowner)
       OR EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                  WHERE t.tgrelid = v.source AND starts_with(t.tgname, v.trigger_name) AND NOT t.tgisinternal
                    AND t.tgfoid <> 'ai._append_change'::regproc AND p.proowner <> s.relowner))
ORDER BY v.id
