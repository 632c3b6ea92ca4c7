-- How a vectorizer embeds, and whether the role $2 may read what it wrote. A role that may need not see it in ai.vectorizer.
SELECT v.config -> 'embedding' AS embedding,
       EXISTS (
           SELECT FROM pg_class c
           WHERE c.oid IN (v.target, v.view, CASE WHEN v.target IS NULL THEN v.source END)
             AND has_schema_privilege($2, c.relnamespace, 'USAGE') AND has_table_privilege($2, c.oid, 'SELECT')) AS may_read,
       (SELECT s.relowner FROM pg_class s WHERE s.oid = v.source) AS owner,
       v.config ->> 'held' AS held,
       -- As ai._seen_vectorizer has it, of the role $2.
       has_table_privilege($2, 'ai._vectorizer', 'SELECT') OR has_table_privilege($2, v.queue::oid, 'SELECT')
           OR pg_has_role($2, (SELECT s.relowner FROM pg_class s WHERE s.oid = v.source), 'MEMBER') AS is_seen,
       ai._stranger(v.source, v.owner::text, v.owner_place) AS stranger
FROM ai._vectorizer v
WHERE v.name = $1::name
