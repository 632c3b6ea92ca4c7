-- What ai.create_vectorizer has to know of a source table.
SELECT n.nspname::text AS schema, c.relname::text AS table, c.relowner AS owner,
       -- Statements on one member of a tree of tables do not fire the triggers of the others.
       CASE WHEN c.relispartition THEN 'is a partition: make the vectorizer on the partitioned table'
            WHEN c.relkind <> 'p' AND EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid))
                THEN 'inherits or is inherited from, which is not supported'
            WHEN c.relpersistence = 't' THEN 'is temporary: the background worker cannot see it'
       END AS unsupported,
       c.relkind = 'p' AS partitioned, c.oid::regclass::text AS name,
       pg_has_role(current_user, c.relowner, 'MEMBER') OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS caller_is_owner,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS caller_is_superuser,
       EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p' AND k.condeferrable) AS deferrable,
       c.relpersistence = 'u' AS unlogged
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1
