-- What the catalogue says of the names of the vectorizers $1 (NULL: of all), and how things are called now. `here` is where numbers of columns hold.
WITH cluster AS MATERIALIZED (
    SELECT format('%s/%s', c.system_identifier, d.oid) AS place
    FROM pg_control_system() c, pg_database d WHERE d.datname = current_database()
)
SELECT v.id, v.name::text AS name,
       CASE WHEN pg_column_size(v.config) <= 1000000 THEN v.config::text END AS config, v.source_pk, v.columns, v.place, format('%s/%s', cluster.place, v.source::oid) AS here,
       (SELECT jsonb_object_agg(a.attname, a.attnum) FROM pg_attribute a
        WHERE a.attrelid = v.source AND a.attnum > 0 AND NOT a.attisdropped) AS attributes,
       (SELECT jsonb_build_object('target_schema', tn.nspname, 'target_table', t.relname)
        FROM pg_class t JOIN pg_namespace tn ON tn.oid = t.relnamespace WHERE t.oid = v.target) AS target,
       (SELECT jsonb_build_object('view_schema', wn.nspname, 'view_name', w.relname)
        FROM pg_class w JOIN pg_namespace wn ON wn.oid = w.relnamespace WHERE w.oid = v.view) AS view,
       -- What belongs to the extension from then on; a row that was changed by hand may name any table.
       ARRAY(SELECT c.oid FROM pg_class c JOIN pg_class s ON s.oid = v.source AND s.relowner = c.relowner
             WHERE c.oid IN (v.queue, v.queue_failed, v.intake) AND c.oid >= 16384 AND c.relkind = 'r' ORDER BY c.oid) AS queues
FROM ai._vectorizer v CROSS JOIN cluster
WHERE (SELECT count(*) FROM pg_class c WHERE c.oid IN (v.source, v.queue, v.queue_failed)) = 3
  AND ($1::int4[] IS NULL OR v.id = ANY ($1))
ORDER BY v.id
