-- Those of the vectorizers $1 (NULL: of all) that are paused are tried again now. By the worker, and not in the
-- session that has changed a foreign server: its locks would be in the way of everybody's pauses until it commits.
UPDATE ai._vectorizer_state SET retry_at = now()
WHERE id IN (SELECT s.id FROM ai._vectorizer_state s
             WHERE s.retry_at > now() AND ($1::int4[] IS NULL OR s.id = ANY ($1)) FOR UPDATE SKIP LOCKED)
