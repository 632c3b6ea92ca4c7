CREATE VIEW {view} AS
SELECT t.embedding_uuid, t.chunk_seq, t.chunk, t.embedding, {columns}
FROM {target} t
LEFT JOIN {source} s ON {source_is_target}
