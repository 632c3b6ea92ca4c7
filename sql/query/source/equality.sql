-- The equality operators of a primary key by column: those that its index goes by, wherever its types come from, and the type that
-- both sides are cast to (NULL: none). A name leads to the operator that fits its operands best: for a domain over a type, another
-- role may have made one in a schema that is not Postgres' own. And whether it is jsonb, or a
-- domain over that; whether its values are all short, and whether their length is known without reading them.
SELECT a.attname::text AS name, format('OPERATOR(%I.%s)', n.nspname, o.oprname) AS operator,
       CASE WHEN n.nspname <> 'pg_catalog' AND a.atttypid <> o.oprleft AND operand.typtype <> 'p'
           THEN (SELECT format('%I.%I', tn.nspname, operand.typname) FROM pg_namespace tn WHERE tn.oid = operand.typnamespace) END AS operand,
       (WITH RECURSIVE base AS (
            SELECT t.oid, t.typbasetype, 1 AS depth FROM pg_type t WHERE t.oid = a.atttypid
            UNION ALL
            SELECT t.oid, t.typbasetype, b.depth + 1 FROM base b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.depth < 32
        ) SELECT bool_or(b.oid = 'jsonb'::regtype) FROM base b) AS is_json,
       a.attlen > 0 AS is_short, a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'bytea'::regtype) AS is_counted
FROM pg_index i
CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[]) AS k (attnum, opclass)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
JOIN pg_opclass oc ON oc.oid = k.opclass
JOIN pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3
     AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
JOIN pg_operator o ON o.oid = ao.amopopr
JOIN pg_type operand ON operand.oid = o.oprleft
JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE i.indrelid = $1 AND i.indisprimary
