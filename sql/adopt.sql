-- Vectorizers of pgai are taken over by docs/adopt-pgai.sql, and given back by docs/return-to-pgai.sql. For superusers.

CREATE FUNCTION ai._pgai_vectorizers() RETURNS TABLE (id int4, name text)
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pgai_vectorizers_wrapper';
COMMENT ON FUNCTION ai._pgai_vectorizers() IS 'The vectorizers in pgai''s catalogue.';
REVOKE EXECUTE ON FUNCTION ai._pgai_vectorizers() FROM PUBLIC;

CREATE FUNCTION ai._adopt_vectorizer(vectorizer_id int4) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'adopt_vectorizer_wrapper';
COMMENT ON FUNCTION ai._adopt_vectorizer(int4) IS
    'Makes the vectorizer of a row of pgai''s catalogue over the destination that is there; says what of its configuration is for superusers to choose.';
REVOKE EXECUTE ON FUNCTION ai._adopt_vectorizer(int4) FROM PUBLIC;

CREATE FUNCTION ai._leave_vectorizer(vectorizer_id int4) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'leave_vectorizer_wrapper';
COMMENT ON FUNCTION ai._leave_vectorizer(int4) IS
    'Brings the queue of a vectorizer that stays with pgai back to where its trigger knows it.';
REVOKE EXECUTE ON FUNCTION ai._leave_vectorizer(int4) FROM PUBLIC;

CREATE FUNCTION ai._return_vectorizer(vectorizer_id int4) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'return_vectorizer_wrapper';
COMMENT ON FUNCTION ai._return_vectorizer(int4) IS 'Gives a vectorizer, and what waits in its queue, back to pgai.';
REVOKE EXECUTE ON FUNCTION ai._return_vectorizer(int4) FROM PUBLIC;
