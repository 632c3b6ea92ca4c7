-- Like lock_source.sql, for a row that is itself written to.
SELECT 1 FROM {source} s JOIN {queue} q ON {source_is_item} WHERE q.item = $1 FOR NO KEY UPDATE OF s SKIP LOCKED
