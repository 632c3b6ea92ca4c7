-- The documents $1, which there was no room for when they were taken.
SELECT q.item, {document_text}, {document_bytes}, {row}
FROM {queue} q JOIN {source} s ON {source_is_item}
WHERE q.item = ANY ($1)
