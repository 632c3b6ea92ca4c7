-- Everyone may look and call; what a call may do is checked in it. Nobody writes to the tables but the library.
GRANT USAGE ON SCHEMA ai TO PUBLIC;
GRANT SELECT ON ai._vectorizer, ai._vectorizer_state, ai._vectorizer_run, ai._vectorizer_index, ai.vectorizer_id_seq TO PUBLIC;
GRANT SELECT ON ai.vectorizer, ai.vectorizer_status, ai.vectorizer_errors, ai.vectorizer_failed, ai.worker_status TO PUBLIC;

-- The launcher learns of the extension in this database when the transaction commits.
SELECT ai._wake_worker();
