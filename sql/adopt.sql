-- Vectorizers of pgai are taken over by docs/adopt-pgai.sql.

CREATE FUNCTION ai._adopt_vectorizer(
    vectorizer_id int4, name text, source regclass, config jsonb, disabled bool, queue_schema text, queue_table text,
    old_queue text, old_failed text) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'adopt_vectorizer_wrapper';
COMMENT ON FUNCTION ai._adopt_vectorizer(int4, text, regclass, jsonb, bool, text, text, text, text) IS
    'Makes the vectorizer of a row of pgai''s catalogue over the destination that is there; says what of its configuration is for superusers to choose. For docs/adopt-pgai.sql.';
REVOKE EXECUTE ON FUNCTION ai._adopt_vectorizer(int4, text, regclass, jsonb, bool, text, text, text, text) FROM PUBLIC;
