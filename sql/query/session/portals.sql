-- The names of the portals of the session that can be found by name, as they are stored. Nothing in it is looked up on the
-- search path.
SELECT pg_catalog.convert_to(c.name, pg_catalog.getdatabaseencoding()) AS name FROM pg_catalog.pg_cursor() c
