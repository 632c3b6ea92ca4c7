-- Removes those of the changes at the places $1 of the intake whose rows are gone: their places, and their primary
-- keys.
WITH gone AS (
    DELETE FROM {intake} i
    WHERE i.ctid = ANY ($1::tid[]) AND NOT EXISTS (SELECT FROM {source} s WHERE {source_is_intake})
    RETURNING i.ctid AS item, {intake_pk}
)
SELECT q.item::text, ({primary_key})::text FROM gone q
