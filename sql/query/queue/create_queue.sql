-- One row per source row that waits or is worked on. `version` counts the changes of the source row, `lease` says whose it
-- is at the moment; the life of a row is drawn in docs/states.md.
CREATE {unlogged}TABLE {queue} (
    {pk_definitions},
    queued_at timestamptz NOT NULL DEFAULT now(),
    loading_retries int4 NOT NULL DEFAULT 0,
    loading_retry_after timestamptz,
    item bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    version bigint NOT NULL DEFAULT 1,
    backfill bool NOT NULL DEFAULT false,
    attempts int4 NOT NULL DEFAULT 0,
    crashes int4 NOT NULL DEFAULT 0,
    lease bigint,
    lease_taken_at timestamptz,
    lease_expires_at timestamptz,
    PRIMARY KEY ({pk})
)
USING heap
-- Half of a page is left to the versions that claims make of its rows, so that they touch no index. Vacuum comes by the
-- number of the dead, not by their share: a queue is read from its beginning, where they are.
WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000)
