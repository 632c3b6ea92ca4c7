-- A row of pgai's catalogue, read as its owner.
SELECT p.name::text, p.source_schema::text, p.source_table::text, p.trigger_name::text, p.queue_schema::text,
       p.queue_table::text, p.queue_failed_table::text, p.config::jsonb, p.disabled::bool
FROM pgai.vectorizer p
WHERE p.id::int = $1
