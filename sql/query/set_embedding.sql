-- The vector of a document in a column of its row; NULL when its text is empty.
UPDATE {source} s SET {embedding} = $2::real[]::{vector} FROM {queue} q WHERE q.item = $1 AND {source_is_item}
