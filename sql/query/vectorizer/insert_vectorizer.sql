INSERT INTO ai._vectorizer
    (id, name, source, source_pk, queue, queue_failed, target, view, trigger_function, trigger_name, config, intake)
VALUES ($1, $2::name, $3, $4, $5::regclass, $6::regclass, $7::regclass, $8::regclass, $9, $10::name, $11, $12::regclass)
