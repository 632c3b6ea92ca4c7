-- Documents of the failed queue (the one of the key $1, those of the class $2; NULL: all) are queued again. Their failed
-- rows go when they are embedded. How many, and how many were written down.
WITH tried AS MATERIALIZED (
    SELECT {each_failed_pk}
    FROM {failed} f
    WHERE ($1 IS NULL OR EXISTS (
              SELECT FROM (
                  SELECT {restored} FROM jsonb_populate_record(NULL::{queue}, jsonb_build_object({queued_from_named})) AS r) AS k
              WHERE {key_is_failed}))
      AND ($2 IS NULL OR f.failure_class = $2)
      AND NOT EXISTS (SELECT FROM {queue} q WHERE {failed_is_item})
      AND NOT EXISTS (SELECT FROM {intake} i WHERE {failed_is_intake})
), sent AS (
    INSERT INTO {intake} ({pk}) SELECT t.* FROM tried t RETURNING true
)
SELECT (SELECT count(*) FROM tried), (SELECT count(*) FROM sent)
