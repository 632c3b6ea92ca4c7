-- By which transactions the rows of a queue and its intake were written, of those that are no older than the one that runs.
SELECT DISTINCT w.xmin::text::int8
FROM (SELECT q.xmin FROM ONLY {queue} q UNION ALL SELECT i.xmin FROM ONLY {intake} i) AS w
WHERE age(w.xmin) <= age(pg_current_xact_id_if_assigned()::xid)
