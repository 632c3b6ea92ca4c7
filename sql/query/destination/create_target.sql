CREATE {unlogged}TABLE {target} (
    embedding_uuid uuid NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    {target_pk_definitions},
    chunk_seq int4 NOT NULL,
    chunk text NOT NULL,
    embedding {vector} NOT NULL,
    UNIQUE ({target_pk}, chunk_seq)
)
{storage_parameters}
