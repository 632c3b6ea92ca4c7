SELECT uri, chunk_seq, chunk
FROM document_embeddings
ORDER BY embedding <=> :'query'
LIMIT 3;
