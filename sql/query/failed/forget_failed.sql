-- How many of the documents $1 the failed queue had, and how many it had to give up.
WITH known AS MATERIALIZED (
    SELECT q.item FROM {failed} f JOIN {queue} q ON {failed_is_item} WHERE q.item = ANY ($1) FOR UPDATE OF f
), gone AS (
    DELETE FROM {failed} f USING {queue} q WHERE q.item = ANY (ARRAY(SELECT k.item FROM known k)) AND {failed_is_item}
    RETURNING true
)
SELECT (SELECT count(*) FROM known), (SELECT count(*) FROM gone)
