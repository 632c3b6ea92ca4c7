-- Tables with a trigger of the function $2 that are no parts of the table $1 any more.
SELECT g.tgrelid, g.tgname::text
FROM pg_trigger g
WHERE g.tgfoid = to_regprocedure($2 || '()') AND g.tgrelid <> $1 AND g.tgparentid = 0
  AND g.tgrelid NOT IN (SELECT ai._partitions($1::regclass))
