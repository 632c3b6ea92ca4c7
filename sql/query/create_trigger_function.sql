-- The body is a literal of trigger_body.sql or row_trigger_body.sql: dollar quotes would end where a name of the user's
-- contains them.
{create} FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {body}
