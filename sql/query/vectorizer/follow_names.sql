-- In another place the partitions are those that were restored.
UPDATE ai._vectorizer v
SET config = $2,
    source_pk = $3,
    columns = $4,
    place = $5,
    partitions = CASE WHEN place = $5 THEN partitions
                      ELSE ARRAY(SELECT ai._partitions(v.source)) END
WHERE v.id = $1 AND v.place = $6
