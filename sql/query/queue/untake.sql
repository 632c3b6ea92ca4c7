-- Gives documents $2 back that were taken under the lease $1 and could not be looked at: the attempts do not count.
UPDATE {queue}
SET lease = NULL, lease_taken_at = NULL, lease_expires_at = NULL, attempts = attempts - 1
WHERE lease = $1 AND item = ANY ($2)
