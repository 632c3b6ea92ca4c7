-- Where the triggers write down the keys of rows that have changed, as often as they change. Nothing about it can be in a
-- writer's way: no index, no constraint, nothing that another transaction could have locked. The worker moves the keys to
-- the queue (take_in.sql). Vacuum comes by the number of the dead: the whole of it is read.
CREATE {unlogged}TABLE {intake} (
    {pk_definitions}
)
USING heap
WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)
