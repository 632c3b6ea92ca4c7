CREATE {unlogged}TABLE {failed} (
    {pk_definitions},
    created_at timestamptz NOT NULL DEFAULT now(),
    failure_step text NOT NULL DEFAULT '',
    failure_class text NOT NULL DEFAULT 'unknown',
    reason text NOT NULL DEFAULT '',
    attempts int4 NOT NULL DEFAULT 0,
    PRIMARY KEY ({pk})
)
USING heap
