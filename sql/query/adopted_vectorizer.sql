-- What of a vectorizer goes back to pgai.
SELECT v.source::oid, v.queue::text, v.disabled, v.source_pk FROM ai._vectorizer v WHERE v.id = $1
