SELECT uri, chunk_seq, chunk
FROM document_embeddings
ORDER BY embedding <=> (SELECT ai.vectorizer_embed('public_document_embeddings_store', :'question'))
LIMIT 3;
