-- The queue ran dry: the next run of a vectorizer that works at intervals, in seconds from now; NULL where there is none.
-- A fixed schedule keeps to multiples of the interval in its time zone, also over days that are longer than others.
WITH schedule AS (
    SELECT r.id, r.next_run,
           v.config #>> '{scheduling,implementation}' = 'timescaledb' AS repeats,
           (v.config #>> '{scheduling,schedule_interval}')::interval AS step,
           coalesce((v.config #>> '{scheduling,fixed_schedule}')::bool, false) AS fixed,
           coalesce((v.config #>> '{scheduling,initial_start}')::timestamptz, r.next_run) AS origin,
           coalesce(v.config #>> '{scheduling,timezone}', current_setting('TimeZone')) AS zone
    FROM ai._vectorizer_run r JOIN ai._vectorizer v ON v.id = r.id
    WHERE r.id = $1
), planned AS (
    UPDATE ai._vectorizer_run r
    SET next_run = CASE WHEN s.fixed THEN (
            SELECT min(t) AT TIME ZONE s.zone
            FROM generate_series(s.origin AT TIME ZONE s.zone, (now() + s.step + s.step) AT TIME ZONE s.zone, s.step) AS t
            WHERE t > now() AT TIME ZONE s.zone)
        ELSE now() + s.step END
    FROM schedule s
    WHERE r.id = s.id AND s.repeats
    RETURNING extract(epoch FROM r.next_run - now())::float8 AS wait
), done AS (
    DELETE FROM ai._vectorizer_run r USING schedule s WHERE r.id = s.id AND NOT s.repeats
)
SELECT wait FROM planned
