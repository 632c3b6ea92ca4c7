-- New chunks: of the documents $1, with the numbers $2, the texts $3 and the vectors $4. The arrays are taken apart in the list
-- of a SELECT, where the values stay where they are: in FROM each vector would be copied into a table first.
INSERT INTO {target} ({target_pk}, chunk_seq, chunk, embedding)
SELECT {queue_pk}, n.chunk_seq, n.chunk, n.embedding
FROM (SELECT unnest($1::bigint[]) AS item, unnest($2::int[]) AS chunk_seq, unnest($3::text[]) AS chunk,
             unnest($4::{vector}[]) AS embedding) AS n
JOIN {queue} q ON q.item = n.item
