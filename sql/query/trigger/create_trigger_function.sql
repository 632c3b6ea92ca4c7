-- The body is a literal of trigger_body.sql or row_trigger_body.sql: dollar quotes would end where a name of the user's
-- contains them. Primary keys are written as the worker writes them (worker.rs, pin_settings), whatever the session prefers.
{create} FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex'
AS {body}
