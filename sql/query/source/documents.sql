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
       stored.seqs, stored.texts, stored.dimensions, stored.digests, stored.most
FROM {source} s
LEFT JOIN {queue} q ON {source_is_item}
LEFT JOIN (SELECT DISTINCT {intake_pk}, 0 AS item FROM {intake} i) AS i ON {source_is_intake}
LEFT JOIN {failed} f ON {source_is_failed}
LEFT JOIN LATERAL (
    -- Its owner may have given the columns other types that are written to as these are.
    -- What is stored may be far more than the document, for which memory is bounded: of the texts that are behind the first
    -- megabyte there is only what tells them from others, and not of those that are longer than a text of ours can be. No more
    -- chunks, and one, than ai.max_memory has room for.
    SELECT array_agg(c.seq ORDER BY c.place) AS seqs,
           array_agg(CASE WHEN c.weight <= 1048576 THEN c.chunk::text END ORDER BY c.place) AS texts,
           array_agg(c.dimensions ORDER BY c.place) AS dimensions,
           array_agg(CASE WHEN c.weight > 1048576 AND c.bytes <= 2 * pg_size_bytes(current_setting('ai.max_document_size')) + 1048576
                          THEN encode(sha256(convert_to(c.chunk::text, 'UTF8')), 'hex') END ORDER BY c.place) AS digests,
           min(c.most) AS most
    FROM (
        SELECT least(greatest(t.chunk_seq, -2147483648), 2147483647)::int4 AS seq, t.chunk,
               {vector_schema}.vector_dims(t.embedding::{vector}) AS dimensions,
               octet_length(t.chunk::text) AS bytes,
               sum(octet_length(t.chunk::text)) OVER w AS weight, row_number() OVER w AS place, m.most
        FROM {target} t
        CROSS JOIN (SELECT pg_size_bytes(current_setting('ai.max_memory')) / 1024 AS most) AS m
        WHERE q.item IS NULL AND i.item IS NULL AND f.reason IS NULL AND {source_is_target}
        WINDOW w AS (ORDER BY t.chunk_seq, t.embedding_uuid ROWS UNBOUNDED PRECEDING)
        ORDER BY t.chunk_seq, t.embedding_uuid
        LIMIT pg_size_bytes(current_setting('ai.max_memory')) / 1024 + 1
    ) AS c
) AS stored ON true
