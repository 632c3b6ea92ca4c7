-- A document that was too large to be read when it was taken.
SELECT {document_text}, {document_bytes} FROM {source} s JOIN {queue} q ON {source_is_item} WHERE q.item = $1
