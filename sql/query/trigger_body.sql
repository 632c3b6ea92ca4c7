-- Runs in the statement of whoever writes to the source, as the owner of the vectorizer. It locks source rows (already
-- locked by the statement), then queue rows: the worker takes them in the same order.
-- A column of the source may be called found, or old.
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE {target}, {queue}, {failed};
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        DELETE FROM {target} t USING old_rows o WHERE {target_is_old};
        DELETE FROM {queue} q USING old_rows o WHERE {queue_is_old};
        DELETE FROM {failed} q USING old_rows o WHERE {queue_is_old};
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        -- Keys that are no more.
        DELETE FROM {target} t USING old_rows o
        WHERE {target_is_old} AND NOT EXISTS (SELECT FROM new_rows n WHERE {new_is_old});
        DELETE FROM {queue} q USING old_rows o
        WHERE {queue_is_old} AND NOT EXISTS (SELECT FROM new_rows n WHERE {new_is_old});
        DELETE FROM {failed} q USING old_rows o
        WHERE {queue_is_old} AND NOT EXISTS (SELECT FROM new_rows n WHERE {new_is_old});
        -- Rows that differ, byte for byte: that needs no equality operator, which not every type has.
        INSERT INTO {queue} AS q ({pk})
        SELECT {new_pk} FROM new_rows n
        WHERE NOT EXISTS (SELECT FROM old_rows o WHERE {new_is_old} AND o.* OPERATOR(pg_catalog.*=) n.*)
        ON CONFLICT ({pk}) DO UPDATE SET {changed};
    ELSE
        INSERT INTO {queue} AS q ({pk})
        SELECT {new_pk} FROM new_rows n
        ON CONFLICT ({pk}) DO UPDATE SET {changed};
    END IF;
    IF FOUND THEN
        PERFORM ai._wake_worker();
    END IF;
    RETURN NULL;
END
