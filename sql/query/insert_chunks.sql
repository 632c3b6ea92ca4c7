-- New chunks: of the documents $1, with the numbers $2, the texts $3 and the vectors $4.
INSERT INTO {target} ({target_pk}, chunk_seq, chunk, embedding)
SELECT {queue_pk}, n.chunk_seq, n.chunk, n.embedding
FROM unnest($1::bigint[], $2::int[], $3::text[], $4::{vector}[]) AS n (item, chunk_seq, chunk, embedding)
JOIN {queue} q ON q.item = n.item
