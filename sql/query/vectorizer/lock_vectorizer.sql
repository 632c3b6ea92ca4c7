-- Locks the row of a vectorizer for a change, unless another transaction has.
SELECT v.id FROM ai._vectorizer v WHERE v.id = $1 FOR NO KEY UPDATE SKIP LOCKED
