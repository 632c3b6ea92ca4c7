SELECT count(*) FROM (SELECT FROM ONLY {queue} LIMIT $1) AS capped
