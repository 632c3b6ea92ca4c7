-- What the documents $1, which have just been taken, hold. By a statement of its own: claim.sql sees the queue as it is when it
-- locks a row, but the source as it was when it began, and a row that was changed in between would be read as it was
-- before and pass for the new version. Of those that are not larger than $2 bytes so many are read as there is memory for: for
-- $3 bytes of documents, and $4 of columns that the template names. The others stay where they are until there is room.
-- (OFFSET 0: to know a size may take the making of a text, which is made once.)
SELECT q.item, q.version, q.attempts, ({primary_key})::text AS primary_key,
       CASE WHEN small.documents IS NOT NULL AND sum(small.documents) OVER here <= $3 AND sum(small.columns) OVER here <= $4
            THEN {document_text} END AS document_text,
       CASE WHEN small.documents IS NOT NULL AND sum(small.documents) OVER here <= $3 AND sum(small.columns) OVER here <= $4
            THEN {document_bytes} END AS document_bytes,
       CASE WHEN small.documents IS NOT NULL AND sum(small.documents) OVER here <= $3 AND sum(small.columns) OVER here <= $4
            THEN {row} END AS columns,
       size.document AS document_size, size.columns AS columns_size, q.backfill
FROM {queue} q
LEFT JOIN {source} s ON {source_is_item}
CROSS JOIN LATERAL (SELECT {document_size} AS document, {columns_size} AS columns OFFSET 0) AS size
CROSS JOIN LATERAL (SELECT CASE WHEN size.document + size.columns <= $2 THEN size.document END AS documents,
                           CASE WHEN size.document + size.columns <= $2 THEN size.columns END AS columns OFFSET 0) AS small
WHERE q.item = ANY ($1)
WINDOW here AS (ORDER BY q.backfill, q.item ROWS UNBOUNDED PRECEDING)
ORDER BY q.backfill, q.item
