-- What ai.create_vectorizer has to know of a source table.
SELECT n.nspname::text, c.relname::text, c.relowner, c.relkind = 'p', c.oid::regclass::text,
       pg_has_role(current_user, c.relowner, 'MEMBER') OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1
