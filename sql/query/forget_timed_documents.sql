-- Forgets all documents of a vectorizer whose primary keys hold moments: in JSON they are written in the time zone of whoever
-- asks, so that a session may not know the keys of the worker.
DELETE FROM ai._vectorizer_document d
USING ai._vectorizer v
WHERE d.id = $1 AND v.id = $1
  AND jsonb_path_exists(v.source_pk, '$[*] ? (@.typname like_regex "^time.* with time zone$")')
