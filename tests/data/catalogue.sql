-- All that the extension consists of, a line for each property: what pg_dump would need to know to make it anew. Without
-- OIDs, and without what only says in which order things were made.
WITH member AS (
    SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS name
    FROM pg_depend d
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
      AND d.refobjid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'ai')
), relation AS (
    SELECT m.name, c.* FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
), said (name, property, value) AS (
    SELECT m.name, 'comment', obj_description(m.objid, (SELECT c.relname FROM pg_class c WHERE c.oid = m.classid))
    FROM member m
    UNION ALL
    SELECT e.extname, 'version', e.extversion FROM pg_extension e WHERE e.extname = 'ai'
    UNION ALL
    SELECT e.extname, 'dumped', format('%s %s', dumped.relation::regclass, dumped.condition)
    FROM pg_extension e CROSS JOIN LATERAL unnest(e.extconfig, e.extcondition) AS dumped (relation, condition)
    WHERE e.extname = 'ai'
    UNION ALL
    SELECT 'schema ai', 'granted', a::text
    FROM pg_namespace n CROSS JOIN LATERAL (
        SELECT format('%s %s', g.grantee::regrole, g.privilege_type) FROM aclexplode(n.nspacl) g) AS a
    WHERE n.nspname = 'ai'
    UNION ALL
    SELECT m.name, 'definition', pg_get_functiondef(p.oid)
    FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
    UNION ALL
    SELECT m.name, 'granted', coalesce((
        SELECT string_agg(format('%s %s', g.grantee::regrole, g.privilege_type), ', ' ORDER BY g.grantee::regrole::text)
        FROM aclexplode(p.proacl) g), 'as usual')
    FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
    UNION ALL
    SELECT r.name, 'kind', format('%s %s %s %s', r.relkind, r.relpersistence, r.relrowsecurity, r.reloptions) FROM relation r
    UNION ALL
    SELECT r.name, 'granted', coalesce((
        SELECT string_agg(format('%s %s', g.grantee::regrole, g.privilege_type), ', '
                          ORDER BY g.grantee::regrole::text, g.privilege_type)
        FROM aclexplode(coalesce(r.relacl, acldefault(CASE r.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", r.relowner))) g), 'to nobody')
    FROM relation r
    UNION ALL
    SELECT r.name, format('column %s %s', row_number() OVER (PARTITION BY r.oid ORDER BY a.attnum), a.attname),
           format('%s %s %s %s %s %s %s %s', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
                  a.attgenerated, a.attstorage, a.attacl, pg_get_expr(d.adbin, d.adrelid), col_description(r.oid, a.attnum))
    FROM relation r
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT r.name, 'constraint ' || k.conname, pg_get_constraintdef(k.oid)
    FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid
    UNION ALL
    SELECT r.name, 'index', pg_get_indexdef(i.indexrelid) FROM relation r JOIN pg_index i ON i.indrelid = r.oid
    UNION ALL
    SELECT r.name, 'view', pg_get_viewdef(r.oid) FROM relation r WHERE r.relkind = 'v'
    UNION ALL
    SELECT r.name, 'sequence', format('%s %s %s %s %s %s', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle)
    FROM relation r JOIN pg_sequence s ON s.seqrelid = r.oid
    UNION ALL
    SELECT r.name, 'trigger', pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
    FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid
    WHERE NOT t.tgisinternal
    UNION ALL
    SELECT m.name, 'event trigger', format('%s %s %s %s', e.evtevent, e.evtfoid::regprocedure, e.evtenabled, e.evttags)
    FROM member m JOIN pg_event_trigger e ON m.classid = 'pg_event_trigger'::regclass AND e.oid = m.objid
)
SELECT format('%s: %s: %s', name, property, value) FROM said ORDER BY 1
