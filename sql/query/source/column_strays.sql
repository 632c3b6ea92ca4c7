-- Like strays.sql, for vectors that went with their rows.
SELECT {primary_key}::text AS primary_key, true AS queued, 'its row is gone: it waits to be cleared away' AS detail
FROM (SELECT {queue_pk} FROM {queue} q UNION SELECT {intake_pk} FROM {intake} i) q
WHERE NOT EXISTS (SELECT FROM {source} s WHERE {source_is_item})
UNION ALL
SELECT {failed_key}::text, false, 'the failed queue has it'
FROM {failed} f
WHERE NOT EXISTS (SELECT FROM {source} s WHERE {source_is_failed})
  AND NOT EXISTS (SELECT FROM {queue} q WHERE {failed_is_item})
  AND NOT EXISTS (SELECT FROM {intake} i WHERE {failed_is_intake})
