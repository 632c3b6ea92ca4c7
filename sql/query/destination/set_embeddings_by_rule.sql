-- Like set_embeddings.sql, for a source with an INSTEAD rule, of which Postgres tells no more than how many rows were
-- written.
UPDATE {source} s SET {embedding} = n.embedding
FROM unnest($1::bigint[], $2::{vector}[]) AS n (item, embedding) JOIN {queue} q ON q.item = n.item
WHERE {source_is_item}
