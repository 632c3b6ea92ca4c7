-- How many of the documents $1, whose chunks were to be removed, have some still.
SELECT count(*) FROM {queue} q WHERE q.item = ANY ($1) AND EXISTS (SELECT FROM {target} t WHERE {target_is_item})
