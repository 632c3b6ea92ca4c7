DELETE FROM {target} WHERE embedding_uuid = ANY ($1::uuid[])
