-- A sign of life: the leases $1 hold for another $2 seconds.
UPDATE {queue} SET lease_expires_at = now() + $2 * interval '1 second' WHERE lease = ANY ($1)
