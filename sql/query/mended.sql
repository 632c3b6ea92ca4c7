-- A vectorizer whose tables were altered is tried again at once: what was wrong with it as a whole may be mended. Not so
-- the note of a failed index: the alteration may be what the build made way for.
WITH state AS (DELETE FROM ai._vectorizer_state WHERE id = $1)
DELETE FROM ai._vectorizer_errors WHERE id = $1 AND primary_key IS NULL AND step <> 'indexing'
