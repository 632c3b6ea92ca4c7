-- The names of the tables that the statement has dropped, or of which it has dropped a trigger or a constraint.
SELECT DISTINCT format('%I.%I', d.address_names[1], d.address_names[2])
FROM pg_event_trigger_dropped_objects() d
WHERE d.object_type IN ('table', 'foreign table', 'trigger', 'table constraint')
