INSERT INTO {queue} AS q ({pk}) SELECT {source_pk} FROM {rows} ON CONFLICT ({pk}) DO UPDATE SET {changed}
