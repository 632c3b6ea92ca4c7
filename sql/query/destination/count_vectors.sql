-- Counts no further than $1.
SELECT count(*) FROM (SELECT FROM {destination} d WHERE d.{column} IS NOT NULL LIMIT $1) AS counted
