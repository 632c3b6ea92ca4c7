-- TimescaleDB's job of number $1, if it is the one that pgai made for the vectorizer $2.
SELECT {schema}.delete_job(j.job_id)
FROM timescaledb_information.jobs j
WHERE j.job_id = $1 AND j.proc_name = '_vectorizer_job' AND j.config ->> 'vectorizer_id' = $2::text
