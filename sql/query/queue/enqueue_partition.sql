-- How many rows there are, and how many were written down.
WITH there AS MATERIALIZED (
    SELECT {source_pk} FROM {rows}
), sent AS (
    INSERT INTO {intake} ({pk}) SELECT t.* FROM there t RETURNING true
)
SELECT (SELECT count(*) FROM there), (SELECT count(*) FROM sent)
