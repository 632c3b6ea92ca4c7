-- Of the vectorizers $1 (NULL: of all) those whose owner has got another name, or another number as in a database that was
-- restored, or is not known yet. An UPDATE of no row would wake the worker, which asks this as often as it is woken.
SELECT v.id
FROM ai._vectorizer v
JOIN pg_class s ON s.oid = v.source
JOIN pg_roles r ON r.oid = s.relowner
CROSS JOIN pg_control_system() c
WHERE ($1::int4[] IS NULL OR v.id = ANY ($1))
  AND (v.owner IS DISTINCT FROM r.rolname OR v.owner_place <> format('%s/%s', c.system_identifier, r.oid))
  AND ai._stranger(v.source, v.owner::text, v.owner_place) IS NULL
