-- The triggers of the vectorizer $1 that are there for everybody and that logical replication fires where it may: those by
-- row, and those on TRUNCATE. Partitions follow their parents where Postgres made their triggers.
SELECT t.tgrelid, t.tgname::text
FROM ai._vectorizer v
JOIN pg_trigger t ON t.tgfoid = ai._trigger_function(v.trigger_function) AND t.tgparentid = 0
WHERE v.id = $1 AND t.tgname <> v.trigger_name || '_replica'
  AND (t.tgtype::int & 1 = 1 OR t.tgtype::int & 32 = 32)
ORDER BY t.tgname, t.tgrelid
