-- Like count_chunks.sql, where the vector is in a column of the row.
SELECT q.item, count(s.{embedding})
FROM {source} s JOIN {queue} q ON {source_is_item}
WHERE q.item = ANY ($1)
GROUP BY q.item
