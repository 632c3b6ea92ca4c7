-- Takes the lease of a single document that nobody holds, to move it.
UPDATE {queue} SET lease = $2, lease_taken_at = now(), lease_expires_at = now() + interval '1 minute'
WHERE item = $1 AND lease IS NULL
