SELECT {failed_key}::text, f.failure_step, f.failure_class, f.reason, f.attempts, f.created_at,
       EXISTS (SELECT FROM {queue} q WHERE {failed_is_item})
           OR EXISTS (SELECT FROM {intake} i WHERE {failed_is_intake}) AS queued
FROM {failed} f
