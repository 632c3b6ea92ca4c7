-- What a build that did not come to its end has left on a table: an index that is kept up and never used.
SELECT i.indexrelid::regclass::text
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1::regclass AND c.relname = $2::name AND NOT i.indisvalid
