-- How many chunks are stored of each of the documents $1: $2 and one more stand for more.
SELECT q.item, (SELECT count(*) FROM (SELECT FROM {target} t WHERE {target_is_item} LIMIT $2 + 1) AS c)
FROM {queue} q
WHERE q.item = ANY ($1)
