CREATE INDEX ON {queue} (backfill, item) WHERE lease IS NULL
