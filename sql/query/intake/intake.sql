-- Whether something waits in the intake, and how many bytes are read to find that out, those of dead rows included.
SELECT EXISTS (SELECT FROM {intake}), pg_relation_size({intake_literal}::regclass)
