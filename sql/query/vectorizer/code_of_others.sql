-- What the statements of the vectorizers $1 reach: their tables, the parts of these, and the tables that follow them by foreign
-- keys with actions, however far. And what of others would run there in the name of the owner, in words (NULL: nothing). A role
-- with TRIGGER or REFERENCES may put something there; Postgres does not keep which role it was, but whose the code is. Superusers and
-- the owner are trusted; roles that the owner is a member of are not. when_inserted: some of it would run when a key is written
-- to the intake.
WITH RECURSIVE actions AS MATERIALIZED (
    SELECT ARRAY['"RI_FKey_cascade_del"'::regproc, '"RI_FKey_cascade_upd"'::regproc, '"RI_FKey_setnull_del"'::regproc,
                 '"RI_FKey_setnull_upd"'::regproc, '"RI_FKey_setdefault_del"'::regproc, '"RI_FKey_setdefault_upd"'::regproc]::oid[]
           AS functions
), vectorizer AS MATERIALIZED (
    SELECT v.id, s.relowner AS owner, v.source::oid AS source, v.queue::oid AS queue, v.queue_failed::oid AS failed,
           v.intake::oid AS intake, v.target::oid AS target, v.config #>> '{destination,embedding_column}' AS embedding
    FROM ai._vectorizer v JOIN pg_class s ON s.oid = v.source
    WHERE v.id = ANY ($1::int4[])
), reached (id, relation, way, of_intake) AS (
    SELECT v.id, p.relation, p.way, p.relation = v.intake
    FROM vectorizer v
    CROSS JOIN LATERAL (VALUES (v.source, 'source'), (v.queue, 'table'), (v.failed, 'table'), (v.intake, 'table'),
                               (v.target, 'table')) AS p (relation, way)
    WHERE p.relation IS NOT NULL
    UNION
    SELECT r.id, n.relation, n.way, r.of_intake
    FROM reached r
    JOIN vectorizer v ON v.id = r.id
    JOIN pg_class c ON c.oid = r.relation
    -- What is another's is told, and not gone through.
    JOIN pg_authid o ON o.oid = c.relowner AND (o.oid = v.owner OR o.rolsuper)
    CROSS JOIN LATERAL (
        SELECT i.inhrelid, CASE r.way WHEN 'table' THEN 'part' ELSE r.way END FROM pg_inherits i WHERE i.inhparent = r.relation
        UNION ALL
        -- AFTER triggers of a table that an action has changed run as who runs the outer statement. Keys of a source are not
        -- changed by the worker.
        SELECT g.tgconstrrelid, 'follower' FROM pg_trigger g
        WHERE g.tgrelid = r.relation AND g.tgfoid = ANY ((SELECT a.functions FROM actions a)::oid[]) AND g.tgenabled <> 'D'
          AND (r.way <> 'source'
               OR EXISTS (SELECT FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey)
                          WHERE k.oid = g.tgconstraint AND a.attname = v.embedding))
    ) AS n (relation, way)
)
SELECT v.id,
       ARRAY(SELECT DISTINCT r.relation FROM reached r WHERE r.id = v.id) AS relations,
       quote_ident(pg_get_userbyid(v.owner)) AS owner_name,
       f.found, coalesce(f.when_inserted, false) AS when_inserted
FROM vectorizer v
CROSS JOIN LATERAL (
       SELECT string_agg(f.what, ', ') AS found, bool_or(f.when_inserted) AS when_inserted FROM (
            SELECT f.what, bool_or(f.when_inserted) AS when_inserted
            FROM reached r
            JOIN pg_class c ON c.oid = r.relation
            JOIN pg_namespace n ON n.oid = c.relnamespace
            CROSS JOIN LATERAL (
                SELECT format(CASE r.way WHEN 'follower' THEN 'the table %I.%I of %I, whose foreign key has an action'
                                         ELSE 'the part %I.%I of %I' END, n.nspname, c.relname, o.rolname) AS what,
                       r.of_intake AND r.way <> 'follower' AS when_inserted
                FROM pg_authid o
                WHERE o.oid = c.relowner AND o.oid <> v.owner AND NOT o.rolsuper
                  -- Those are told of otherwise.
                  AND r.relation NOT IN (v.source, v.queue, v.failed, v.intake, coalesce(v.target, v.source))
                UNION ALL
                SELECT format('the trigger %I on %I.%I, with %I.%I of %I', g.tgname, n.nspname, c.relname, s.nspname, u.name, o.rolname),
                       r.of_intake AND g.tgtype & 4 <> 0
                FROM pg_trigger g
                CROSS JOIN LATERAL (
                    SELECT 'pg_proc'::regclass AS class, p.oid, p.pronamespace AS schema, p.proname AS name, p.proowner AS owner
                    FROM pg_proc p WHERE p.oid = g.tgfoid
                    UNION ALL
                    -- Of the condition.
                    SELECT 'pg_proc'::regclass, p.oid, p.pronamespace, p.proname, p.proowner
                    FROM pg_depend d JOIN pg_proc p ON p.oid = d.refobjid
                    WHERE g.tgqual IS NOT NULL AND d.classid = 'pg_trigger'::regclass AND d.objid = g.oid
                      AND d.refclassid = 'pg_proc'::regclass
                    UNION ALL
                    SELECT 'pg_proc'::regclass, p.oid, p.pronamespace, p.proname, p.proowner
                    FROM pg_depend d JOIN pg_operator q ON q.oid = d.refobjid JOIN pg_proc p ON p.oid = q.oprcode
                    WHERE g.tgqual IS NOT NULL AND d.classid = 'pg_trigger'::regclass AND d.objid = g.oid
                      AND d.refclassid = 'pg_operator'::regclass
                    UNION ALL
                    SELECT 'pg_type'::regclass, t.oid, t.typnamespace, t.typname, t.typowner
                    FROM pg_depend d JOIN pg_type t ON t.oid = d.refobjid
                    WHERE g.tgqual IS NOT NULL AND d.classid = 'pg_trigger'::regclass AND d.objid = g.oid
                      AND d.refclassid = 'pg_type'::regclass
                ) AS u
                JOIN pg_authid o ON o.oid = u.owner AND o.oid <> v.owner AND NOT o.rolsuper
                JOIN pg_namespace s ON s.oid = u.schema
                WHERE g.tgrelid = r.relation AND g.tgenabled <> 'D'
                  -- The worker only updates a source, and that only where the vectors are in it; unless rules say otherwise.
                  AND (r.way <> 'source' OR v.target IS NULL AND (g.tgtype & 16 <> 0 OR c.relhasrules))
                  -- The owner of an extension may add functions to it.
                  AND NOT EXISTS (
                      SELECT FROM pg_depend d
                      JOIN pg_extension e ON e.oid = d.refobjid
                      JOIN pg_authid x ON x.oid = e.extowner AND (x.rolsuper OR x.oid = v.owner)
                      WHERE d.classid = u.class AND d.objid = u.oid AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass)
            ) AS f
            WHERE r.id = v.id
            GROUP BY f.what
            ORDER BY 2 DESC, 1 LIMIT 8
       ) AS f
) AS f
