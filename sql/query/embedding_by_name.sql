-- How a vectorizer embeds, and whether the role $2 may read what it wrote. Whoever may need not see it in ai.vectorizer.
SELECT v.config -> 'embedding',
       EXISTS (
           SELECT FROM pg_class c
           WHERE c.oid IN (v.target, v.view, CASE WHEN v.target IS NULL THEN v.source END)
             AND has_schema_privilege($2, c.relnamespace, 'USAGE') AND has_table_privilege($2, c.oid, 'SELECT')),
       (SELECT s.relowner FROM pg_class s WHERE s.oid = v.source),
       v.config ->> 'held'
FROM ai._vectorizer v
WHERE v.name = $1::name
