-- The triggers of a source, with their functions; NULL is ai._append_change.
SELECT t.tgname::text, nullif(t.tgfoid, 'ai._append_change'::regproc::oid)
FROM pg_trigger t
WHERE t.tgrelid = $1 AND NOT t.tgisinternal
