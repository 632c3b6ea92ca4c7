-- What waits in our queue waits in pgai's.
INSERT INTO {old_queue} ({old_pk}) SELECT {pk} FROM {queue}
