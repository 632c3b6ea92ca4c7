-- Runs in the statement of whoever writes to the source, as the owner of the vectorizer. It locks source rows (already
-- locked by the statement), then queue rows: the worker takes them in the same order.
-- A column of the source may be called found, or old.
#variable_conflict use_column
DECLARE
    queued bool;
    embedded bool;
BEGIN
    {by_row}
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE {emptied};
        PERFORM ai._forget_errors({id}, NULL);
        PERFORM ai._forget_documents({id}, NULL);
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        {remove_deleted}
        embedded := {was_embedded};
        DELETE FROM {queue} q USING old_rows o WHERE {queue_is_old}{gone};
        queued := FOUND;
        DELETE FROM {failed} q USING old_rows o WHERE {queue_is_old}{gone};
        IF FOUND OR queued OR ai._has_cuts({id}) THEN
            -- Not all in one array, which has a greatest size: a key may be some hundred kilobytes long.
            PERFORM ai._forget_errors({id}, r.keys)
            FROM (SELECT jsonb_agg(k.key) AS keys
                  FROM (SELECT {old_key} AS key, (row_number() OVER ()) / 100 AS part FROM old_rows o) AS k
                  GROUP BY k.part) AS r;
        END IF;
        IF embedded AND ai._remembers_documents({id}) THEN
            PERFORM ai._forget_documents({id}, r.keys)
            FROM (SELECT array_agg(k.key) AS keys
                  FROM (SELECT ({old_key})::text AS key, (row_number() OVER ()) / 100 AS part FROM old_rows o) AS k
                  GROUP BY k.part) AS r;
        END IF;
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        -- The worker writes vectors into columns of the source: no news.
        IF current_setting('ai.writing', true) = 'on' THEN
            RETURN NULL;
        END IF;
        -- Keys that are no more.
        {remove_renamed}
        embedded := {was_embedded};
        DELETE FROM {queue} q USING old_rows o
        WHERE {queue_is_old}{gone} AND NOT EXISTS (SELECT FROM new_rows n WHERE {new_is_old});
        queued := FOUND;
        DELETE FROM {failed} q USING old_rows o
        WHERE {queue_is_old}{gone} AND NOT EXISTS (SELECT FROM new_rows n WHERE {new_is_old});
        IF FOUND OR queued OR ai._has_cuts({id}) THEN
            PERFORM ai._forget_errors({id}, r.keys)
            FROM (SELECT jsonb_agg(k.key) AS keys
                  FROM (SELECT {old_key} AS key, (row_number() OVER ()) / 100 AS part FROM old_rows o
                        WHERE NOT EXISTS (SELECT FROM new_rows n WHERE {new_is_old})) AS k
                  GROUP BY k.part) AS r;
        END IF;
        IF embedded AND ai._remembers_documents({id}) THEN
            PERFORM ai._forget_documents({id}, r.keys)
            FROM (SELECT array_agg(k.key) AS keys
                  FROM (SELECT ({old_key})::text AS key, (row_number() OVER ()) / 100 AS part FROM old_rows o
                        WHERE NOT EXISTS (SELECT FROM new_rows n WHERE {new_is_old})) AS k
                  GROUP BY k.part) AS r;
        END IF;
        -- Rows that differ, byte for byte: not every type has an equality operator.
        INSERT INTO {queue} AS q ({pk})
        SELECT {new_pk} FROM new_rows n
        WHERE NOT EXISTS (SELECT FROM old_rows o WHERE {new_is_old} AND record_image_eq({old_row}, {new_row}))
        ON CONFLICT ({pk}) DO UPDATE SET {changed};
    ELSE
        INSERT INTO {queue} AS q ({pk})
        SELECT {new_pk} FROM new_rows n
        ON CONFLICT ({pk}) DO UPDATE SET {changed};
    END IF;
    IF FOUND THEN
        PERFORM ai._wake_worker({id});
        -- A dump that was restored by somebody who may not write to the catalogue.
        IF NOT EXISTS (SELECT FROM ai._vectorizer v WHERE v.id = {id} AND v.queue = {queue_literal}::regclass) THEN
            RAISE WARNING 'the vectorizer of table % is not in the catalogue: nothing is embedded', {source_literal}::regclass
                USING HINT = 'Restore the dump as superuser, or drop the function of this trigger and make the vectorizer anew.';
        END IF;
    END IF;
    RETURN NULL;
END
