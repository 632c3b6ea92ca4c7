-- What is on the source of the vectorizer $1, and on its partitions, that can run code of the role that put it there, or lets others
-- put such on it: what the worker's statements, or those that write to the table, would run as its owner. No rows: nothing.
--
-- What only computes is none: expressions of functions in C that are immutable, of Postgres or of an extension, and a few that read a
-- clock, or draw a number. All other functions count, also those of Postgres: some run statements, or read tables with their policies.
-- Types are those of Postgres, of extensions, or built of such without a check, a cast or a function of a user; and of the owner of
-- the source, or of a superuser: the owner of a type may give it a cast, or a check, at any time.
WITH RECURSIVE relation AS MATERIALIZED (
    SELECT s.oid, s.relowner, s.relkind, s.relacl, s.relrowsecurity OR s.relforcerowsecurity AS has_row_security, v.source::oid AS source,
           CASE WHEN s.oid <> v.source THEN ' of ' || s.oid::regclass ELSE '' END AS of_part, o.relowner AS heir
    FROM ai._vectorizer v
    JOIN pg_class o ON o.oid = v.source
    JOIN pg_class s ON s.oid = v.source OR s.oid IN (SELECT p FROM ai._partitions(v.source) AS p)
    WHERE v.id = $1
), expression (classid, objid, tree, named) AS MATERIALIZED (
    SELECT 'pg_class'::regclass, i.indexrelid, concat(i.indexprs::text, i.indpred::text), format('the index %s%s', i.indexrelid::regclass, r.of_part)
    FROM relation r JOIN pg_index i ON i.indrelid = r.oid
    WHERE i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
    UNION ALL
    SELECT 'pg_attrdef'::regclass, d.oid, d.adbin::text, format('the expression of column %I%s', a.attname, r.of_part)
    FROM relation r JOIN pg_attrdef d ON d.adrelid = r.oid
    JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    UNION ALL
    SELECT 'pg_constraint'::regclass, k.oid, k.conbin::text, format('the constraint %I%s', k.conname, r.of_part)
    FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid
    WHERE k.conbin IS NOT NULL
    UNION ALL
    SELECT 'pg_statistic_ext'::regclass, e.oid, e.stxexprs::text, format('the statistics %I%s', e.stxname, r.of_part)
    FROM relation r JOIN pg_statistic_ext e ON e.stxrelid = r.oid
    WHERE e.stxexprs IS NOT NULL
    UNION ALL
    SELECT 'pg_class'::regclass, r.oid, p.partexprs::text, format('the partition key of %s', r.oid::regclass)
    FROM relation r JOIN pg_partitioned_table p ON p.partrelid = r.oid
    WHERE p.partexprs IS NOT NULL
), code AS (
    SELECT e.named
    FROM expression e
    WHERE EXISTS (
        -- What Postgres has brought is not in pg_depend, but in the tree.
        SELECT FROM (
            SELECT m[1]::oid AS oid FROM regexp_matches(e.tree, ':(?:funcid|opfuncid) ([0-9]+)', 'g') AS m
            UNION
            SELECT o.oprcode::oid FROM regexp_matches(e.tree, ':opno ([0-9]+)', 'g') AS m JOIN pg_operator o ON o.oid = m[1]::oid
            UNION
            SELECT d.refobjid FROM pg_depend d
            WHERE d.classid = e.classid AND d.objid = e.objid AND d.refclassid = 'pg_proc'::regclass
            UNION
            SELECT o.oprcode::oid FROM pg_depend d JOIN pg_operator o ON o.oid = d.refobjid
            WHERE d.classid = e.classid AND d.objid = e.objid AND d.refclassid = 'pg_operator'::regclass
        ) AS f
        JOIN pg_proc p ON p.oid = f.oid
        JOIN pg_language l ON l.oid = p.prolang
        WHERE NOT (
            (l.lanname IN ('internal', 'c') OR p.oid < 16384)
            AND (p.provolatile = 'i'
                 OR p.oid < 16384 AND p.proname IN ('now', 'statement_timestamp', 'transaction_timestamp', 'clock_timestamp', 'timeofday',
                                                    'nextval', 'random', 'gen_random_uuid', 'uuidv4', 'uuidv7'))))
), used (oid, shown) AS (
    -- The types of the columns, of what is in them, and of expressions.
    SELECT a.atttypid, format('the type %s of column %I%s', format_type(a.atttypid, NULL), a.attname, r.of_part)
    FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT d.refobjid, e.named
    FROM expression e
    JOIN pg_depend d ON d.classid = e.classid AND d.objid = e.objid AND d.refclassid = 'pg_type'::regclass
    UNION
    SELECT i.oid, u.shown
    FROM used u
    JOIN pg_type t ON t.oid = u.oid
    CROSS JOIN LATERAL (
        SELECT t.typbasetype AS oid
        UNION ALL SELECT t.typelem
        UNION ALL SELECT g.rngsubtype FROM pg_range g WHERE t.oid IN (g.rngtypid, g.rngmultitypid)
        UNION ALL SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS i
    WHERE t.oid >= 16384 AND i.oid <> 0
), strange_type AS (
    SELECT u.shown
    FROM used u
    JOIN pg_type t ON t.oid = u.oid
    WHERE t.oid >= 16384
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_type'::regclass AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
                        AND d.objid IN (t.oid, t.typelem))
      AND (NOT EXISTS (SELECT FROM pg_roles o
                       WHERE o.oid = t.typowner AND (o.rolsuper OR o.oid IN (SELECT r.heir FROM relation r)))
           OR EXISTS (SELECT FROM pg_constraint k WHERE k.contypid = t.oid AND k.conbin IS NOT NULL)
           OR EXISTS (SELECT FROM pg_cast k WHERE k.castfunc <> 0 AND t.oid IN (k.castsource, k.casttarget))
           OR EXISTS (SELECT FROM pg_range g WHERE g.rngtypid = t.oid AND (g.rngcanonical <> 0 OR g.rngsubdiff::oid >= 16384)))
)
SELECT * FROM (
    SELECT format('the partition %s of %s', r.oid::regclass, r.relowner::regrole) AS burden
    FROM relation r
    WHERE r.relowner <> r.heir AND NOT EXISTS (SELECT FROM pg_roles o WHERE o.oid = r.relowner AND o.rolsuper)
    UNION ALL
    SELECT format('the foreign table %s', r.oid::regclass) FROM relation r WHERE r.relkind = 'f'
    UNION ALL
    SELECT format('the trigger %I%s', t.tgname, r.of_part)
    FROM relation r
    JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
    -- Those of vectorizers, and of Postgres itself, which run nothing of a user.
    WHERE NOT (t.tgqual IS NULL
               AND (t.tgfoid < 16384 OR t.tgfoid = 'ai._append_change'::regproc
                    OR EXISTS (SELECT FROM ai._vectorizer v
                               WHERE v.source = r.source AND t.tgfoid = ai._trigger_function(v.trigger_function))))
    UNION ALL
    SELECT format('the rule %I%s', w.rulename, r.of_part) FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid
    UNION ALL
    SELECT format('the policy %I%s', p.polname, r.of_part) FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
    UNION ALL
    SELECT c.named FROM code c
    UNION ALL
    SELECT y.shown FROM strange_type y
    UNION ALL
    -- What they wrote there fires in other tables, as the worker writes to this column.
    SELECT format('the foreign key %I of the vectors', k.conname)
    FROM ai._vectorizer v
    JOIN pg_attribute a ON a.attrelid = v.source AND a.attname = $2 AND NOT a.attisdropped
    JOIN pg_constraint k ON k.contype = 'f'
        AND (k.conrelid = v.source AND a.attnum = ANY (k.conkey) OR k.confrelid = v.source AND a.attnum = ANY (k.confkey))
    WHERE v.id = $1
    UNION ALL
    SELECT format('the privilege TRIGGER granted to others%s', r.of_part)
    FROM relation r
    WHERE EXISTS (SELECT FROM aclexplode(r.relacl) g
                  WHERE g.privilege_type = 'TRIGGER' AND g.grantee <> r.relowner
                    AND NOT EXISTS (SELECT FROM pg_roles o WHERE o.oid = g.grantee AND o.rolsuper))
) AS b
GROUP BY 1
ORDER BY 1
LIMIT 9
