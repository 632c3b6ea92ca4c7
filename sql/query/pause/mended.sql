-- A vectorizer whose tables were altered is tried again at once: what was wrong with it as a whole may be mended. Not so
-- the note of a failed index: the alteration may be what the build made way for. Rows that another session has locked are
-- passed over, so that two who alter tables at the same time never wait for each other.
WITH state AS (
    DELETE FROM ai._vectorizer_state WHERE id IN (
        SELECT s.id FROM ai._vectorizer_state s WHERE s.id = $1 FOR UPDATE SKIP LOCKED)
)
DELETE FROM ai._vectorizer_errors WHERE ctid IN (
    SELECT e.ctid FROM ai._vectorizer_errors e
    WHERE e.id = $1 AND e.primary_key IS NULL AND e.step <> 'indexing' FOR UPDATE SKIP LOCKED)
