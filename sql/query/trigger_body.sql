-- Runs in the statement of whoever writes to the source, as the owner of the vectorizer. What has changed is appended to the
-- intake, where nothing can be in its way. What is removed from the queue is locked after the source rows (which the
-- statement has locked already): the worker takes them in the same order.
-- A column of the source may be called found, or old.
#variable_conflict use_column
DECLARE
    changed bool := false;
    gone bool := false;
    removed bigint;
    queued bool := false;
    embedded bool;
    -- Others may have written what this transaction does not see: the worker clears away what it leaves.
    is_blind bool;
BEGIN
    {by_row}
    IF TG_OP = 'INSERT' THEN
        INSERT INTO {intake} ({pk}) SELECT {new_pk} FROM new_rows n;
        changed := FOUND;
    ELSIF TG_OP = 'UPDATE' THEN
        -- The worker writes vectors into columns of the source: no news.
        IF ai._is_writing() THEN
            RETURN NULL;
        END IF;
        -- Rows that differ, byte for byte (not every type has an equality operator), and keys that are no more. A full join is
        -- never a nested loop: a session that has written single rows keeps the plan when it writes a million.
        WITH difference ({pk}, item) AS MATERIALIZED (
            SELECT {new_pk}, {new_is_missing} FROM old_rows o FULL JOIN new_rows n ON {new_is_old_at_once}
            WHERE record_image_eq({old_row}, {new_row}) IS NOT TRUE
        ), appended AS (
            INSERT INTO {intake} ({pk}) SELECT {pk} FROM difference d WHERE NOT d.item
        )
        SELECT count(*) > 0, coalesce(bool_or(d.item), false) INTO changed, gone FROM difference d;
        IF gone THEN
            is_blind := current_setting('transaction_isolation') <> 'read committed';
            -- Planned each time, for the number of rows that there are.
            {remove_renamed}
            GET DIAGNOSTICS removed = ROW_COUNT;
            embedded := {was_embedded};
            IF is_blind THEN
                EXECUTE {append_renamed};
            ELSE
                EXECUTE {unqueue_renamed};
                GET DIAGNOSTICS removed = ROW_COUNT;
                queued := removed > 0;
                EXECUTE {unfail_renamed};
                GET DIAGNOSTICS removed = ROW_COUNT;
                queued := queued OR removed > 0;
                IF queued OR ai._has_cuts({id}) THEN
                    EXECUTE {forget_errors_of_renamed};
                END IF;
                IF embedded AND ai._remembers_documents({id}) THEN
                    EXECUTE {forget_renamed};
                END IF;
            END IF;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        is_blind := current_setting('transaction_isolation') <> 'read committed';
        {remove_deleted}
        embedded := {deleted_was_embedded};
        IF is_blind THEN
            INSERT INTO {intake} ({pk}) SELECT {old_pk} FROM old_rows o;
            changed := FOUND;
        ELSE
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
        END IF;
    ELSE
        TRUNCATE {emptied};
        PERFORM ai._forget_errors({id}, NULL);
        PERFORM ai._forget_documents({id}, NULL);
    END IF;
    -- A dump that was restored by somebody who may not write to the catalogue.
    IF changed AND NOT ai._wake_worker({id}, {intake_literal}::regclass) THEN
        RAISE WARNING 'the vectorizer of table % is not in the catalogue: nothing is embedded', {source_literal}::regclass
            USING HINT = 'Restore the dump as superuser, or drop the function of this trigger and make the vectorizer anew.';
    END IF;
    RETURN NULL;
END
