-- Fingerprints of what the documents $1 are embedded from.
SELECT q.item, {origin}
FROM unnest($1::bigint[]) AS n (item)
JOIN {queue} q ON q.item = n.item
JOIN {source} s ON {source_is_item}
