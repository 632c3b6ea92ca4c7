SELECT 1 FROM {source} s JOIN {queue} q ON {source_is_item} WHERE q.item = $1
