-- How a vectorizer embeds, and whether the caller may read what it wrote.
SELECT v.config -> 'embedding', v.name::text,
       EXISTS (
           SELECT FROM pg_class c
           WHERE c.oid IN (v.target, v.view, CASE WHEN v.target IS NULL THEN v.source END)
             AND has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')),
       (SELECT s.relowner FROM pg_class s WHERE s.oid = v.source)
FROM ai._vectorizer v
WHERE v.name = $1::name
