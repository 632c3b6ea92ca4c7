-- The first change of the intake that nobody has locked, but for those at the places $1: its place, and its primary
-- key.
SELECT q.item::text, ({primary_key})::text
FROM (SELECT i.ctid AS item, {intake_pk} FROM {intake} i WHERE i.ctid <> ALL ($1::tid[]) LIMIT 1 FOR UPDATE SKIP LOCKED) AS q
