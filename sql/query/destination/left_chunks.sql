-- How many of the chunks $1, which were to be removed, are there still.
SELECT count(*) FROM {target} WHERE embedding_uuid = ANY ($1::uuid[])
