-- How many chunks the destination has of the documents $1, with the numbers $2. Asked where fewer rows were written
-- than were sent: a trigger may have led them to a table that inherits from it.
SELECT count(*)
FROM unnest($1::bigint[], $2::int[]) AS n (item, chunk_seq)
JOIN {queue} q ON q.item = n.item
WHERE EXISTS (SELECT FROM {target} t WHERE {target_is_item} AND t.chunk_seq = n.chunk_seq)
