-- Those of the documents $1 that are still ours, by the leases $2, and whether they have rows, locked or not.
SELECT q.item, EXISTS (SELECT FROM {source} s WHERE {source_is_item})
FROM {queue} q JOIN unnest($1::bigint[], $2::bigint[]) AS held (item, lease) ON q.item = held.item AND q.lease = held.lease
