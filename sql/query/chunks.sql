-- The stored chunks of the documents $1. Of their texts only what tells them from others: they may be far more than what
-- the documents are now, which memory is reserved for.
SELECT q.item, t.embedding_uuid::text, least(greatest(t.chunk_seq, -2147483648), 2147483647)::int4,
       sha256(convert_to(t.chunk::text, 'UTF8'))
FROM {target} t JOIN {queue} q ON {target_is_item}
WHERE q.item = ANY ($1)
ORDER BY q.item, t.chunk_seq
