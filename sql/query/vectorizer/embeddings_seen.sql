-- What the vectorizers that the caller sees embed with, and for whom.
SELECT v.id, v.config ->> 'embedding', c.relowner
FROM ai._seen_vectorizer v JOIN pg_class c ON c.oid = v.source
WHERE v.config ? 'embedding' AND pg_column_size(v.config) <= 1000000
