CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $trigger$
BEGIN
    -- A column of the primary key that this vectorizer goes by was dropped.
    RETURN NULL;
END
$trigger$
