INSERT INTO {failed} ({pk}, created_at, failure_step, failure_class, reason)
SELECT {old_pk}, o.created_at, o.failure_step, 'unknown', 'given up by pgai' FROM {old_failed} o ORDER BY o.created_at DESC
ON CONFLICT DO NOTHING
