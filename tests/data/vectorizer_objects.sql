-- All that the vectorizers of this database consist of, a line for each property, without OIDs. But for the layout of
-- destinations: a table that was there keeps its own.
WITH relation AS (
    SELECT DISTINCT c.oid, c.oid::regclass::text AS name, c.relkind, c.relpersistence, c.oid = v.target AS is_destination,
           ARRAY(SELECT o FROM unnest(c.reloptions) o WHERE NOT (c.oid = v.target AND starts_with(o, 'toast_tuple_target'))) AS reloptions
    FROM ai._vectorizer v
    JOIN pg_class c ON c.oid IN (v.source, v.target, v.view, v.queue, v.queue_failed)
                    OR c.oid IN (SELECT p.relid FROM pg_partition_tree(v.source) p)
), said (name, property, value) AS (
    SELECT r.name, 'kind', format('%s %s %s', r.relkind, r.relpersistence, r.reloptions) FROM relation r
    UNION ALL
    SELECT r.name, 'goes with', string_agg(DISTINCT pg_describe_object(d.refclassid, d.refobjid, 0), ', ')
    FROM relation r JOIN pg_depend d ON d.objid = r.oid AND d.refclassid = 'pg_extension'::regclass
    GROUP BY r.name
    UNION ALL
    SELECT r.name, 'column ' || a.attnum,
           format('%s %s %s %s %s', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, CASE WHEN NOT (r.is_destination AND a.attname = 'embedding') THEN a.attstorage END,
                  pg_get_expr(d.adbin, d.adrelid))
    FROM relation r
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
    LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT r.name, 'constraint', pg_get_constraintdef(k.oid) FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid
    UNION ALL
    SELECT r.name, 'index', pg_get_indexdef(i.indexrelid) FROM relation r JOIN pg_index i ON i.indrelid = r.oid
    UNION ALL
    SELECT r.name, 'view', pg_get_viewdef(r.oid) FROM relation r WHERE r.relkind = 'v'
    UNION ALL
    SELECT r.name, 'trigger', pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text || ' ' || coalesce(
        (SELECT 'goes with the extension' FROM pg_depend d
         WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid AND d.refclassid = 'pg_extension'::regclass), '')
    FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid
    WHERE NOT t.tgisinternal
    UNION ALL
    SELECT to_regproc(v.trigger_function)::text, 'definition', pg_get_functiondef(to_regproc(v.trigger_function)) || ' ' || coalesce(
        (SELECT 'goes with the extension' FROM pg_depend d
         WHERE d.classid = 'pg_proc'::regclass AND d.objid = to_regproc(v.trigger_function) AND d.deptype = 'x'), '')
    FROM ai._vectorizer v
    UNION ALL
    SELECT v.name::text, 'catalogue',
           format('%s %s %s %s %s %s', v.source_pk, v.config - 'version', v.disabled, v.columns, cardinality(v.partitions), v.trigger_name)
    FROM ai._vectorizer v
)
SELECT format('%s: %s: %s', name, property, value) FROM said ORDER BY 1
