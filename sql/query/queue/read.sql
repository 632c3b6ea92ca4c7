-- The documents $1, which there was no room for when they were taken.
SELECT q.item, {document_text} AS document_text, {document_bytes} AS document_bytes, {row} AS columns
FROM {queue} q JOIN {source} s ON {source_is_item}
WHERE q.item = ANY ($1)
