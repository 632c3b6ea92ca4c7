-- Whether the catalogue knows the vectorizer $1 by the intake $2, for its owner, as whom its triggers run.
SELECT EXISTS (
    SELECT FROM ai._seen_vectorizer v JOIN pg_class s ON s.oid = v.source
    WHERE v.id = $1 AND v.intake = $2 AND pg_has_role(s.relowner, 'USAGE'))
