-- How many of the chunks $1, which were to get the numbers $2, have others.
SELECT count(*)
FROM unnest($1::uuid[], $2::int[]) AS moved (embedding_uuid, seq)
JOIN {target} t ON t.embedding_uuid = moved.embedding_uuid
WHERE t.chunk_seq <> moved.seq
