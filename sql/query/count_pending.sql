-- Documents in the queue, and those that are on their way to it: they may have changed more than once. What is beyond $1 is
-- not counted.
SELECT count(*)
FROM (
    (SELECT FROM ONLY {queue} LIMIT $1)
    UNION ALL
    (SELECT FROM ONLY {intake} i WHERE NOT EXISTS (SELECT FROM ONLY {queue} q WHERE {intake_is_item})
     GROUP BY {intake_pk})
    LIMIT $1
) AS pending
