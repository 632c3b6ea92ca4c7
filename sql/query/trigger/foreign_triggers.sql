-- Triggers that fire on the table $1 and that others than its owner may have put on it, as TRIGGER lets them: on a table of
-- a superuser any of them, on another those whose functions are not its owner's.
SELECT t.tgname::text
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_proc p ON p.oid = t.tgfoid
JOIN pg_roles r ON r.oid = c.relowner
WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND (r.rolsuper OR p.proowner <> c.relowner)
ORDER BY 1
