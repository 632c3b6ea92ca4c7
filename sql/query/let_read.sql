-- What the role $2 lacks to read the relation $1.
SELECT g.sql
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (VALUES
    (has_schema_privilege($2, n.oid, 'USAGE'), format('GRANT USAGE ON SCHEMA %I TO %s', n.nspname, $2::regrole)),
    (has_table_privilege($2, c.oid, 'SELECT'), format('GRANT SELECT ON %I.%I TO %s', n.nspname, c.relname, $2::regrole))
) AS g (has, sql)
WHERE c.oid = to_regclass($1) AND NOT g.has
