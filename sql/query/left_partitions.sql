-- Tables with a trigger of the function $2 that are no parts of the table $1 any more.
SELECT g.tgrelid::regclass::text, g.tgname::text
FROM pg_trigger g
WHERE g.tgfoid = $2::regproc AND g.tgrelid <> $1 AND g.tgparentid = 0
  AND g.tgrelid NOT IN (SELECT ai._partitions($1::regclass))
