-- The vectorizers that it concerns when objects were made or altered, of the classes $1, with the OIDs $2; and whether it may
-- concern all. Who alters tables of their own should not have the others tried again.
-- Also the index of a queue in the schema of the extension that got a name which is none of its table's: a constraint is renamed, and
-- its index with it, without the right to create in the schema.
WITH command AS MATERIALIZED (
    SELECT d.classid, d.objid FROM unnest($1::oid[], $2::oid[]) AS d (classid, objid)
)
SELECT ARRAY(
    SELECT v.id FROM command d
    JOIN ai._vectorizer v ON d.objid IN (v.source, v.target, v.view, v.queue, v.queue_failed, v.intake)
    WHERE d.classid = 'pg_class'::regclass
    UNION
    -- A partition came or went.
    SELECT v.id FROM command d
    JOIN ai._vectorizer v ON v.source = pg_partition_root(d.objid::regclass)
    WHERE d.classid = 'pg_class'::regclass
    UNION
    -- The source joined the table; or its columns come from there, or from its type.
    SELECT v.id FROM command d
    CROSS JOIN LATERAL ai._partitions(d.objid::regclass) AS c (oid)
    JOIN ai._vectorizer v ON v.source = c.oid
    WHERE d.classid = 'pg_class'::regclass
    UNION
    -- It got a child.
    SELECT v.id FROM command d
    JOIN pg_inherits i ON i.inhrelid = d.objid
    JOIN ai._vectorizer v ON v.source = i.inhparent
    WHERE d.classid = 'pg_class'::regclass
    UNION
    SELECT v.id FROM command d
    JOIN pg_class t ON t.oid = d.objid AND t.relkind = 'c'
    JOIN pg_class s ON s.reloftype = t.reltype
    JOIN ai._vectorizer v ON v.source = s.oid
    WHERE d.classid = 'pg_class'::regclass
    UNION
    SELECT v.id FROM command d
    JOIN pg_trigger t ON t.oid = d.objid
    JOIN ai._vectorizer v ON v.source = t.tgrelid
        AND (t.tgfoid = ai._trigger_function(v.trigger_function)
             OR t.tgfoid = 'ai._append_change'::regproc AND t.tgname = v.trigger_name)
    WHERE d.classid = 'pg_trigger'::regclass
    UNION
    -- The function of a trigger was renamed or moved.
    SELECT v.id FROM command d
    JOIN pg_trigger t ON t.tgfoid = d.objid
    JOIN ai._vectorizer v ON v.source = t.tgrelid
    WHERE d.classid = 'pg_proc'::regclass AND ai._trigger_function(v.trigger_function) IS DISTINCT FROM t.tgfoid
      AND starts_with(t.tgname, v.trigger_name)
    ORDER BY 1
), EXISTS (
    SELECT FROM command d
    -- The name of a schema is in the functions of all whose tables, types or operators are in it. And
    -- pg_restore --data-only --disable-triggers has put rows into the catalogue.
    WHERE d.classid = 'pg_namespace'::regclass
       OR d.classid = 'pg_class'::regclass AND d.objid = 'ai._vectorizer'::regclass
), (
    SELECT min(i.relname::text) FROM command d
    JOIN pg_constraint k ON k.oid = d.objid
    JOIN pg_class t ON t.oid = k.conrelid AND t.relnamespace = 'ai'::regnamespace
    JOIN pg_class i ON i.oid = k.conindid AND i.relnamespace = t.relnamespace AND NOT starts_with(i.relname, t.relname || '_')
    JOIN ai._vectorizer v ON t.oid IN (v.queue, v.queue_failed, v.intake)
    WHERE d.classid = 'pg_constraint'::regclass
)
