-- What a clock in the time zone $3 (NULL: that of the session) shows now, and at the start $2 of the schedule of vectorizer $1
-- (NULL: its last run): microseconds since 1970.
SELECT (extract(epoch FROM now() AT TIME ZONE z.zone) * 1000000)::int8,
       (extract(epoch FROM coalesce($2::timestamptz, r.next_run) AT TIME ZONE z.zone) * 1000000)::int8
FROM ai._vectorizer_run r
CROSS JOIN (SELECT coalesce($3, current_setting('TimeZone'))) AS z (zone)
WHERE r.id = $1 AND isfinite(coalesce($2::timestamptz, r.next_run))
