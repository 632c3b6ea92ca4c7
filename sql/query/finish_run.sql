-- The queue ran dry: the next run of a vectorizer that works at intervals, in seconds from now; NULL where there is none.
-- A fixed schedule keeps to multiples of the interval since its start. Those of days and months are counted by the clock of
-- its time zone, over days that are longer than others; shorter ones know no time zone, or the hour that comes twice in
-- autumn would be left out.
WITH schedule AS (
    SELECT r.id, r.next_run, s.step,
           v.config #>> '{scheduling,implementation}' = 'timescaledb' AS repeats,
           coalesce((v.config #>> '{scheduling,fixed_schedule}')::bool, false) AS fixed,
           extract(year FROM s.step) = 0 AND extract(month FROM s.step) = 0 AS is_even,
           CASE WHEN s.step < '1 day' THEN 'UTC'
                ELSE coalesce(v.config #>> '{scheduling,timezone}', current_setting('TimeZone')) END AS zone,
           coalesce((v.config #>> '{scheduling,initial_start}')::timestamptz, r.next_run) AS origin
    FROM ai._vectorizer_run r
    JOIN ai._vectorizer v ON v.id = r.id
    CROSS JOIN LATERAL (SELECT (v.config #>> '{scheduling,schedule_interval}')::interval) AS s (step)
    WHERE r.id = $1
), clock AS (
    SELECT s.*, s.origin AT TIME ZONE s.zone AS first, now() AT TIME ZONE s.zone AS here FROM schedule s
), planned AS (
    UPDATE ai._vectorizer_run r
    SET next_run = CASE WHEN c.fixed THEN (
            SELECT min(t) AT TIME ZONE c.zone
            -- Years of seconds are not counted one by one.
            FROM generate_series(
                c.first + CASE WHEN c.is_even AND c.here > c.first
                    THEN c.step * floor(extract(epoch FROM c.here - c.first) / extract(epoch FROM c.step))::float8
                    ELSE interval '0' END,
                greatest(c.here, c.first) + c.step + c.step, c.step) AS t
            WHERE t > c.here)
        ELSE now() + c.step END
    FROM clock c
    WHERE r.id = c.id AND c.repeats
    RETURNING extract(epoch FROM r.next_run - now())::float8 AS wait
), done AS (
    DELETE FROM ai._vectorizer_run r USING schedule s WHERE r.id = s.id AND NOT s.repeats
)
SELECT wait FROM planned
