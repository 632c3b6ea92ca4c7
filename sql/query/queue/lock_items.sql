-- Those of the documents $1 that are still ours, by the leases $2, and that no user is changing.
SELECT q.item
FROM {queue} q JOIN unnest($1::bigint[], $2::bigint[]) AS held (item, lease) ON q.item = held.item AND q.lease = held.lease
FOR UPDATE OF q SKIP LOCKED
