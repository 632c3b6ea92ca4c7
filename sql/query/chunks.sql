-- The stored chunks of the documents $1. Of their texts only what tells them from others: they may be far more than what
-- the documents are now, which memory is reserved for.
SELECT q.item, t.embedding_uuid::text, t.chunk_seq, sha256(convert_to(t.chunk, 'UTF8'))
FROM {target} t JOIN {queue} q ON {target_is_item}
WHERE q.item = ANY ($1)
ORDER BY q.item, t.chunk_seq
