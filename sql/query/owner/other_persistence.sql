-- The parts of the vectorizers of the sources $1 that a crash would leave when it empties the source, or the other way round.
SELECT c.oid, s.relpersistence = 'u'
FROM ai._vectorizer v
JOIN pg_class s ON s.oid = v.source
JOIN pg_class c ON c.oid IN (v.target, v.queue, v.queue_failed, v.intake) AND c.relpersistence <> s.relpersistence
    AND c.relkind = 'r' AND c.relowner = s.relowner AND c.oid >= 16384
WHERE s.relkind = 'r' AND v.source = ANY ($1::oid[])
ORDER BY v.id, c.oid
