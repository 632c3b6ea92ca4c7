-- What is written down about the vectorizers $1 beside their definitions: pauses, failures and runs.
SELECT v.id,
       st.reason IS NOT NULL AND st.paused_at >= greatest(pg_postmaster_start_time(), pg_conf_load_time()) AS paused,
       -- Moments are subtracted as numbers: those that are infinite would fail all.
       extract(epoch FROM st.retry_at)::float8 - extract(epoch FROM now())::float8 AS retry_in,
       st.id IS NOT NULL OR EXISTS (SELECT FROM ai._vectorizer_errors e WHERE e.id = v.id) AS has_notes,
       coalesce((SELECT least(e.occurrences, 1000) FROM ai._vectorizer_errors e
                 WHERE e.id = v.id AND e.step = 'loading' AND md5(coalesce(e.primary_key::text, '')) = md5('')
                   AND e.failure_class <> 'configuration'), 0)::int4 AS refusals,
       (SELECT extract(epoch FROM r.next_run)::float8 FROM ai._vectorizer_run r WHERE r.id = v.id)
           - extract(epoch FROM now())::float8 AS runs_in
FROM unnest($1::int4[]) AS v (id)
LEFT JOIN ai._vectorizer_state st ON st.id = v.id
