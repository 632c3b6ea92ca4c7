UPDATE {target} t SET chunk_seq = -1 - t.chunk_seq
WHERE t.embedding_uuid = ANY ($1::uuid[]) AND t.chunk_seq < 0
