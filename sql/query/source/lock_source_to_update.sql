-- Like lock_source.sql, for rows that are themselves written to.
SELECT q.item FROM {source} s JOIN {queue} q ON {source_is_item} WHERE q.item = ANY ($1) FOR NO KEY UPDATE OF s SKIP LOCKED
