-- The vectors $2 of the documents $1, in a column of their rows; NULL where the text is empty.
UPDATE {source} s SET {embedding} = n.embedding
FROM unnest($1::bigint[], $2::{vector}[]) AS n (item, embedding) JOIN {queue} q ON q.item = n.item
WHERE {source_is_item}
