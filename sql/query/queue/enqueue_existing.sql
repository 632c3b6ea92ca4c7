INSERT INTO {queue} ({pk}, backfill) SELECT {source_pk}, true FROM {source} s ON CONFLICT DO NOTHING
