-- The rows of the vectorizers $1 (NULL: of all). How their tables are called now is for Postgres' caches to say: each join
-- here would have to be planned by every worker that starts.
SELECT v.id, v.name::text AS name, v.source::oid AS source, v.source_pk::text AS source_pk,
       v.queue::oid AS queue, v.queue_failed::oid AS failed, v.intake::oid AS intake, v.target::oid AS target, v.view::oid AS view,
       v.trigger_function, v.trigger_name::text AS trigger_name,
       -- As text: who parses it says for each what is wrong. What is larger than a configuration may be is not even read.
       CASE WHEN pg_column_size(v.config) <= 1000000 THEN v.config::text END AS config,
       v.disabled, v.columns::text AS columns, v.place, v.owner::text AS owner, v.owner_place
FROM ai._vectorizer v
WHERE $1::int4[] IS NULL OR v.id = ANY ($1)
ORDER BY v.id
