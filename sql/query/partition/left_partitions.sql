-- Tables with the trigger that vectorizer $3 has on its partitions, of the function $2, that are no parts of the table $1 any more.
-- Others may have their own triggers call the function: those are theirs.
SELECT g.tgrelid, g.tgname::text
FROM pg_trigger g
JOIN ai._seen_vectorizer v ON v.id = $3 AND g.tgname = v.trigger_name || '_truncate'
JOIN pg_class c ON c.oid = g.tgrelid
JOIN pg_class s ON s.oid = v.source
WHERE g.tgfoid = to_regprocedure($2 || '()') AND g.tgrelid <> $1 AND g.tgparentid = 0
  AND (c.relowner = s.relowner OR c.oid = ANY (v.partitions))
  AND g.tgrelid NOT IN (SELECT ai._partitions($1::regclass))
