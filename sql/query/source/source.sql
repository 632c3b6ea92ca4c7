-- What ai.create_vectorizer has to know of a source table.
SELECT n.nspname::text, c.relname::text, c.relowner,
       -- Statements on one member of a tree of tables do not fire the triggers of the others.
       CASE WHEN c.relispartition THEN 'is a partition: make the vectorizer on the partitioned table'
            WHEN c.relkind <> 'p' AND EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid))
                THEN 'inherits or is inherited from, which is not supported'
            WHEN c.relpersistence = 't' THEN 'is temporary: the background worker cannot see it'
       END,
       c.relkind = 'p', c.oid::regclass::text,
       pg_has_role(current_user, c.relowner, 'MEMBER') OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
       EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p' AND k.condeferrable),
       c.relpersistence = 'u'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1
