-- The next run of vectorizer $1: when the clock of the time zone $3 (NULL: that of the session) shows $2, in microseconds since
-- 1970; or, where that is NULL, an interval $4 from now. In how many seconds.
UPDATE ai._vectorizer_run r
SET next_run = CASE WHEN $2::int8 IS NULL THEN now() + $4::interval
                    ELSE (timestamp '1970-01-01' + $2::int8 * interval '1 microsecond')
                         AT TIME ZONE coalesce($3, current_setting('TimeZone')) END
WHERE r.id = $1
RETURNING extract(epoch FROM r.next_run - now())::float8
