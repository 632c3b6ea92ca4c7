-- The vectorizer $1 works for the role $2, where that is not known yet, or where it works for the owner of its source: that one has
-- not looked at what the role has put there.
UPDATE ai._vectorizer v
SET owner = r.rolname, owner_place = format('%s/%s', c.system_identifier, r.oid)
FROM pg_roles r, pg_control_system() c
WHERE v.id = $1 AND ai._stranger(v.source, v.owner::text, v.owner_place) IS NULL AND r.oid = $2
