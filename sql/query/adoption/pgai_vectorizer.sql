-- A row of pgai's catalogue, read as its owner.
SELECT p.name::text AS name, p.source_schema::text AS source_schema, p.source_table::text AS source_table, p.trigger_name::text AS trigger_name, p.queue_schema::text AS queue_schema,
       p.queue_table::text AS queue_table, p.queue_failed_table::text AS failed_table, p.config::jsonb AS config, p.disabled::bool AS disabled
FROM pgai.vectorizer p
WHERE p.id::int = $1
