-- Documents that are put off, by when they are due.
CREATE INDEX ON {queue} (loading_retry_after) WHERE loading_retry_after IS NOT NULL
