INSERT INTO {intake} ({pk}) SELECT {source_pk} FROM {rows}
