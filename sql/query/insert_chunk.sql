INSERT INTO {target} ({target_pk}, chunk_seq, chunk, embedding)
SELECT {queue_pk}, $2, $3, $4::real[]::{vector} FROM {queue} q WHERE q.item = $1
