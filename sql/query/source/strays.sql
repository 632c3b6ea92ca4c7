-- What is left of rows that are not in the source: chunks, and what the queues have of them.
SELECT {target_key}::text AS primary_key, false AS queued, format('%s chunks of it are stored', count(*)) AS detail
FROM {target} t
WHERE NOT EXISTS (SELECT FROM {source} s WHERE {source_is_target})
  AND NOT EXISTS (SELECT FROM {queue} q WHERE {target_is_item})
  AND NOT EXISTS (SELECT FROM {intake} i WHERE {target_is_intake})
GROUP BY {each_target_pk}
UNION ALL
SELECT {primary_key}::text, true, 'its row is gone: it waits to be cleared away'
FROM (SELECT {queue_pk} FROM {queue} q UNION SELECT {intake_pk} FROM {intake} i) q
WHERE NOT EXISTS (SELECT FROM {source} s WHERE {source_is_item})
UNION ALL
SELECT {failed_key}::text, false, 'the failed queue has it'
FROM {failed} f
WHERE NOT EXISTS (SELECT FROM {source} s WHERE {source_is_failed})
  AND NOT EXISTS (SELECT FROM {queue} q WHERE {failed_is_item})
  AND NOT EXISTS (SELECT FROM {intake} i WHERE {failed_is_intake})
