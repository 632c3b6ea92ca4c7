DELETE FROM {target} t USING {queue} q WHERE q.item = ANY ($1) AND {target_is_item}
