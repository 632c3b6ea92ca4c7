-- What the documents $1, which have just been taken, hold. By a statement of its own: claim.sql sees the queue as it is when it
-- locks a row, but the source as it was when it began, and a row that was changed in between would be read as it was
-- before and pass for the new version. Documents of more than $2 bytes stay where they are until there is room for them.
SELECT q.item, q.version, q.attempts, ({primary_key})::text AS primary_key, s.tableoid IS NOT NULL AS found,
       CASE WHEN {document_size} <= $2 THEN {document_text} END AS document_text,
       CASE WHEN {document_size} <= $2 THEN {document_bytes} END AS document_bytes,
       {document_size}::bigint AS size, {row} AS columns, q.backfill
FROM {queue} q
LEFT JOIN {source} s ON {source_is_item}
WHERE q.item = ANY ($1)
ORDER BY q.backfill, q.item
