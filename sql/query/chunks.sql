-- The stored chunks of the documents $1.
SELECT q.item, t.embedding_uuid::text, t.chunk_seq, t.chunk
FROM {target} t JOIN {queue} q ON {target_is_item}
WHERE q.item = ANY ($1)
ORDER BY q.item, t.chunk_seq
