-- Like documents.sql, for vectors in a column of the source: `dimensions` has one element, or is NULL.
SELECT {source_key}::text AS primary_key,
       CASE WHEN q.item IS NULL AND i.item IS NULL AND f.reason IS NULL THEN {document_text} END AS document_text,
       CASE WHEN q.item IS NULL AND i.item IS NULL AND f.reason IS NULL THEN {document_bytes} END AS document_bytes,
       {row} AS columns,
       CASE WHEN q.lease_expires_at > now() THEN 'it is being worked on'
            WHEN q.loading_retry_after > now()
                THEN format('it waits until %s', date_trunc('second', q.loading_retry_after))
            WHEN q.item IS NOT NULL OR i.item IS NOT NULL THEN 'it waits for the worker' END AS queued,
       format('%s failed: %s', nullif(f.failure_step, ''), f.reason) AS failure,
       f.reason IS NOT NULL AS failed,
       NULL::int[] AS seqs, NULL::text[] AS texts,
       CASE WHEN s.{embedding} IS NOT NULL THEN ARRAY[{vector_schema}.vector_dims(s.{embedding}::{vector})] END AS dimensions,
       NULL::text[] AS digests, NULL::bigint AS most
FROM {source} s
LEFT JOIN {queue} q ON {source_is_item}
LEFT JOIN (SELECT DISTINCT {intake_pk}, 0 AS item FROM {intake} i) AS i ON {source_is_intake}
LEFT JOIN {failed} f ON {source_is_failed}
