-- The order in which documents are taken. What is taken stays in it until it is done: an index that taken documents leave
-- would have to be written to by each claim.
CREATE INDEX ON {queue} (backfill, item) WHERE loading_retry_after IS NULL
