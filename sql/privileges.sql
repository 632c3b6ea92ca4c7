-- Everyone may look and call; a view shows each role its own, and what a call may do is checked in it. Nobody writes to the
-- tables but the library.
GRANT USAGE ON SCHEMA ai TO PUBLIC;
GRANT SELECT ON
    ai.vectorizer, ai.vectorizer_status, ai.vectorizer_errors, ai.vectorizer_failed, ai.worker_status, ai._seen_vectorizer,
    ai._noted_vectorizer
TO PUBLIC;
-- The triggers on source tables, which run as the owners of those, ask whether their queue is known. Those of a dump may
-- have been written by an earlier version.
GRANT SELECT (id, queue) ON ai._vectorizer TO PUBLIC;
-- Who may read it sees all vectorizers, and in the views what is noted about them.
GRANT SELECT ON ai._vectorizer TO pg_monitor;

-- The launcher learns of the extension in this database when the transaction commits.
SELECT ai._wake_worker();
