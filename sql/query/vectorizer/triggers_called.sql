-- The triggers of the tables $1, with the functions that they call.
SELECT t.tgrelid AS source, t.tgname::text AS name, t.tgfoid AS function, t.tgenabled <> 'D' AS is_enabled
FROM pg_trigger t
WHERE t.tgrelid = ANY ($1::oid[]) AND NOT t.tgisinternal
