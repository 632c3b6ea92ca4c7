-- The document is done, if it is still the one that was taken.
DELETE FROM {queue} WHERE item = $1 AND lease = $2 AND version = $3
