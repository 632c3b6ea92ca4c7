DELETE FROM {table} t WHERE NOT EXISTS (SELECT FROM {source} s WHERE {source_is_it})
