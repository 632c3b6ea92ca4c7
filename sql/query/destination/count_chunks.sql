-- How many chunks with a vector each of the documents $1 has. Those that have none are missing.
SELECT q.item, count(t.embedding)
FROM {target} t JOIN {queue} q ON {target_is_item}
WHERE q.item = ANY ($1)
GROUP BY q.item
