-- The vectorizers that lose one of the relations $1, and what is left of them and belongs to the same role: to the owner of the
-- source; where that is gone, to the owner of the function of its triggers. The numbers in a row may be those of other tables by
-- now (a dump has carried them to another place), and of these nothing is dropped. $2: who drops, where nothing is left that
-- tells.
SELECT v.id, v.name::text AS name, v.source::oid AS source,
       ARRAY(SELECT c.oid FROM pg_class c
             WHERE c.oid IN (v.queue, v.queue_failed, v.intake) AND c.oid >= 16384
               AND CASE WHEN own.owner IS NULL THEN pg_has_role($2, c.relowner, 'USAGE') ELSE c.relowner = own.owner END) AS tables,
       (SELECT p.oid FROM pg_proc p
        WHERE p.oid = f.oid AND p.prorettype = 'trigger'::regtype
          AND p.proowner IN (SELECT c.relowner FROM pg_class c WHERE c.oid IN (v.source, v.target, v.queue, v.queue_failed))) AS function,
       (SELECT t.oid FROM pg_trigger t
        WHERE t.tgrelid = v.source AND t.tgname = v.trigger_name AND t.tgfoid = 'ai._append_change'::regproc) AS trigger,
       (SELECT c.oid::regclass::text FROM pg_class c WHERE c.oid = v.target) AS target_name,
       -- Of no use to anybody, and in the way of each write.
       (SELECT i.indexrelid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
        WHERE i.indrelid = v.target AND NOT i.indisvalid AND c.relname = '_vectorizer_idx_' || v.id AND t.relowner = own.owner) AS index
FROM (
    SELECT * FROM ai._vectorizer l
    WHERE l.source IN (SELECT unnest($1::oid[])) OR l.target IN (SELECT unnest($1::oid[])) OR l.queue IN (SELECT unnest($1::oid[]))
       OR l.queue_failed IN (SELECT unnest($1::oid[])) OR l.intake IN (SELECT unnest($1::oid[]))
    -- Nothing else is asked of the others.
    OFFSET 0
) AS v
LEFT JOIN LATERAL (SELECT ai._trigger_function(v.trigger_function) AS oid) AS f ON true
LEFT JOIN LATERAL (
    SELECT coalesce((SELECT c.relowner FROM pg_class c WHERE c.oid = v.source),
                    (SELECT p.proowner FROM pg_proc p WHERE p.oid = f.oid AND p.prorettype = 'trigger'::regtype)) AS owner
) AS own ON true
ORDER BY v.id
