-- The stored chunks of the documents $1. Of their texts only what tells them from others: they may be far more than what
-- the documents are now, which memory is reserved for. A text of more bytes than the longest of its document ($2) is none of
-- its texts, and not even read.
SELECT q.item, t.embedding_uuid::text AS uuid, least(greatest(t.chunk_seq, -2147483648), 2147483647)::int4 AS seq,
       CASE WHEN octet_length(t.chunk::text) <= n.longest THEN sha256(convert_to(t.chunk::text, 'UTF8')) END AS digest
FROM {target} t
JOIN {queue} q ON {target_is_item}
JOIN unnest($1::bigint[], $2::bigint[]) AS n (item, longest) ON n.item = q.item
WHERE q.item = ANY ($1)
ORDER BY q.item, t.chunk_seq
