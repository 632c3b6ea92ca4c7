-- Each row of the source: what the worker would read of it, what the queues say of it, and what is stored for it. What
-- waits or has failed is not looked at, so its document and its chunks are left out.
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
       stored.seqs, stored.texts, stored.dimensions
FROM {source} s
LEFT JOIN {queue} q ON {source_is_item}
LEFT JOIN (SELECT DISTINCT {intake_pk}, 0 AS item FROM {intake} i) AS i ON {source_is_intake}
LEFT JOIN {failed} f ON {source_is_failed}
LEFT JOIN LATERAL (
    -- Its owner may have given the columns other types that are written to as these are.
    SELECT array_agg(least(greatest(t.chunk_seq, -2147483648), 2147483647)::int4 ORDER BY t.chunk_seq, t.embedding_uuid) AS seqs,
           array_agg(t.chunk::text ORDER BY t.chunk_seq, t.embedding_uuid) AS texts,
           array_agg({vector_schema}.vector_dims(t.embedding::{vector}) ORDER BY t.chunk_seq, t.embedding_uuid) AS dimensions
    FROM {target} t
    WHERE q.item IS NULL AND i.item IS NULL AND f.reason IS NULL AND {source_is_target}
) AS stored ON true
