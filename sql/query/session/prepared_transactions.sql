-- The transactions of the database $1 that are prepared.
SELECT p.transaction FROM pg_prepared_xact() p WHERE p.dbid = $1
