-- The primary key, its columns in the order of the table: pgai's keys, the equality that the index goes by, and the
-- name in the queue, which differs where a name is one of the queue's own.
SELECT jsonb_agg(jsonb_build_object(
           'attnum', a.attnum, 'pknum', k.number, 'attname', a.attname,
           'typname', format_type(a.atttypid, a.atttypmod))
           || CASE WHEN a.attname = ANY ($2::text[]) THEN jsonb_build_object('queued', (
                       -- As many pk_ as it takes: the key may have a column of that name, too.
                       SELECT repeat('pk_', n) || a.attname FROM generate_series(1, 33) AS n
                       WHERE NOT EXISTS (SELECT FROM pg_attribute o WHERE o.attrelid = $1 AND o.attnum = ANY (p.conkey)
                                         AND o.attname = repeat('pk_', n) || a.attname)
                       ORDER BY n LIMIT 1))
                   ELSE '{}'::jsonb END
       ORDER BY a.attnum)
FROM pg_constraint p
CROSS JOIN LATERAL unnest(p.conkey) WITH ORDINALITY AS k (attnum, number)
JOIN pg_attribute a ON a.attrelid = p.conrelid AND a.attnum = k.attnum
WHERE p.conrelid = $1 AND p.contype = 'p'
