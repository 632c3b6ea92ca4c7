-- A sign of life: the leases $1 hold for another $2 seconds. A row that a user has locked is passed over: nobody else can
-- take it meanwhile.
UPDATE {queue} q SET lease_expires_at = now() + $2 * interval '1 second'
FROM (SELECT l.item FROM {queue} l WHERE l.lease = ANY ($1) FOR UPDATE SKIP LOCKED) AS held
WHERE q.item = held.item
