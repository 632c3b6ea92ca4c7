-- A document that there was no room for when it was taken.
SELECT {document_text}, {document_bytes}, {row} FROM {source} s JOIN {queue} q ON {source_is_item} WHERE q.item = $1
