-- The parts of the interval $1, NULL where it is infinite; and whether the start $2 is a moment (NULL: there is none). A time
-- zone $3 that Postgres does not know is an error.
SELECT CASE WHEN isfinite(s.step) THEN (extract(year FROM s.step) * 12 + extract(month FROM s.step))::int8 END AS months,
       CASE WHEN isfinite(s.step) THEN extract(day FROM s.step)::int8 END AS days,
       CASE WHEN isfinite(s.step) THEN ((extract(hour FROM s.step) * 60 + extract(minute FROM s.step)) * 60000000
                                        + extract(microseconds FROM s.step))::int8 END AS microseconds,
       s.first IS NULL OR isfinite(s.first) AND s.first BETWEEN '0001-01-02 00:00:00+00' AND '9999-12-30 00:00:00+00' AS is_moment,
       now() AT TIME ZONE coalesce($3, 'UTC') AS local_time
FROM (SELECT $1::interval, $2::timestamptz) AS s (step, first)
