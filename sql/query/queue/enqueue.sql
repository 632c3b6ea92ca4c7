-- Queues the documents with the primary keys $1, as objects of the names in the source. How many were written down.
WITH sent AS (
    INSERT INTO {intake} ({pk})
    SELECT {key_pk}
    FROM jsonb_array_elements($1::jsonb) AS named (k)
    CROSS JOIN LATERAL (
        SELECT {restored} FROM jsonb_populate_record(NULL::{queue}, jsonb_build_object({queued_from_named})) AS r) AS k
    RETURNING true
)
SELECT count(*) FROM sent
