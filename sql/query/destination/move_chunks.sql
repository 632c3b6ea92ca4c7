-- Chunks $1 get the numbers $2. They go by way of negative numbers (see settle_chunks), because the numbers of a document
-- are unique at every moment.
UPDATE {target} t SET chunk_seq = -1 - moved.seq
FROM unnest($1::uuid[], $2::int[]) AS moved (embedding_uuid, seq)
WHERE t.embedding_uuid = moved.embedding_uuid
