-- The stored chunks of a document.
SELECT t.embedding_uuid::text, t.chunk_seq, t.chunk
FROM {target} t JOIN {queue} q ON {target_is_item}
WHERE q.item = $1
ORDER BY t.chunk_seq
