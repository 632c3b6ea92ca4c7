-- The function $1 of the triggers of the source $2, its owner, and what keeps it from changing hands (NULL: nothing).
SELECT format('%I.%I', n.nspname, p.proname), p.proowner, CASE
    WHEN p.pronargs <> 0 OR p.prorettype <> 'trigger'::regtype OR p.prokind <> 'f' THEN 'it is no function of triggers'
    WHEN EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee <> p.proowner) THEN 'others may execute it'
    WHEN EXISTS (
        SELECT FROM pg_trigger t
        WHERE t.tgfoid = p.oid AND t.tgrelid <> $2 AND t.tgrelid NOT IN (SELECT m FROM ai._partitions($2::regclass) AS m)
    ) THEN 'it is the function of triggers on other tables'
END
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.oid = $1
