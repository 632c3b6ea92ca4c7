DELETE FROM {failed} f USING {queue} q WHERE q.item = ANY ($1) AND {failed_is_item}
