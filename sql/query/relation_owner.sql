-- A relation, its owner, and whether that owner may act as the role $2.
SELECT c.oid, c.relowner::regrole::text, pg_has_role(c.relowner, $2, 'MEMBER') FROM pg_class c WHERE c.oid = to_regclass($1)
