-- Takes back what adopt-pgai.sql did: pgai's schema gets its name, its triggers and what waits in the queues back, and the
-- extension is dropped. What was embedded in the meantime stays. For a superuser:
--
--   psql -d DATABASE -f docs/return-to-pgai.sql
\set ON_ERROR_STOP on
\set QUIET on
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL search_path = pg_catalog, pg_temp;

DO $return$
DECLARE
    names text;
BEGIN
    IF to_regclass('pgai.vectorizer') IS NULL OR to_regclass('ai._vectorizer') IS NULL THEN
        RAISE EXCEPTION 'there is nothing to return: no schema pgai of docs/adopt-pgai.sql';
    END IF;
    SELECT string_agg(v.name, ', ' ORDER BY v.name) INTO names FROM ai._vectorizer v
    WHERE NOT EXISTS (SELECT FROM ai._pgai_vectorizers() p WHERE p.id = v.id AND p.name = v.name::text);
    IF names IS NOT NULL THEN
        RAISE EXCEPTION 'pgai does not know these vectorizers: %', names USING HINT = 'Drop them with ai.drop_vectorizer.';
    END IF;
    PERFORM ai._return_vectorizer(p.id) FROM ai._pgai_vectorizers() p;
END
$return$;

DROP EXTENSION ai;
DROP SCHEMA ai;
ALTER SCHEMA pgai RENAME TO ai;
COMMIT;
