-- By row: for a partitioned source, because a statement trigger of the parent does not see statements on its partitions; for
-- what logical replication applies, which fires no statement triggers; and for what ai._append_change leaves to it, rows with
-- another key above all. Otherwise as in trigger_body.sql.
DECLARE
    changed bool := TG_OP IN ('INSERT', 'UPDATE');
    queued bool;
    embedded bool;
    is_swallowed bool := false;
    may_write bool;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        IF TG_RELID <> {source_literal}::regclass THEN
            PERFORM ai._prune_vectorizer({id});
            RETURN NULL;
        END IF;
        PERFORM ai._may_write({id}, TG_OP, {intake_literal}::regclass, {queue_literal}::regclass, {failed_literal}::regclass, {target_literal}::regclass);
        TRUNCATE {emptied};
        PERFORM ai._forget_errors({id}, NULL);
        PERFORM ai._forget_documents({id}, NULL);
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF record_image_eq({old_row}, {new_row}) THEN
            RETURN NULL;
        END IF;
    END IF;
    may_write := ai._may_write({id}, TG_OP, {intake_literal}::regclass, {queue_literal}::regclass, {failed_literal}::regclass, {target_literal}::regclass);
    IF may_write IS NULL THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND NOT ({new_is_old})) THEN
        IF may_write THEN
            {remove_deleted}
            embedded := {deleted_was_embedded};
        END IF;
        IF NOT may_write OR current_setting('transaction_isolation') <> 'read committed' OR {filtered} THEN
            -- Others may have written what this transaction does not see, a policy may hide it, or code of others is on it: the
            -- worker clears away what it leaves.
            INSERT INTO {intake} ({pk}) VALUES ({old_pk});
            is_swallowed := NOT FOUND;
            changed := true;
        ELSE
            DELETE FROM {queue} q WHERE {queue_is_old}{gone};
            queued := FOUND;
            DELETE FROM {failed} q WHERE {queue_is_old}{gone};
            IF FOUND OR queued OR ai._has_cuts({id}) THEN
                PERFORM ai._forget_errors({id}, jsonb_build_array({old_key}));
            END IF;
            IF embedded AND ai._remembers_documents({id}) THEN
                PERFORM ai._forget_documents({id}, ARRAY[({old_key})::text]);
            END IF;
        END IF;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        INSERT INTO {intake} ({pk}) VALUES ({new_pk});
        is_swallowed := is_swallowed OR NOT FOUND;
        -- An equal key of another text ('A' and 'a' of citext, 1.0 and 1.00): what is remembered is remembered by the text.
        IF TG_OP = 'UPDATE' AND ({old_key})::text <> ({new_key})::text AND ({new_is_old}) THEN
            PERFORM ai._forget_errors({id}, jsonb_build_array({old_key}, {new_key}));
            PERFORM ai._forget_documents({id}, ARRAY[({old_key})::text, ({new_key})::text]);
        END IF;
    END IF;
    IF is_swallowed THEN
        RAISE EXCEPTION 'nothing was written to %, and no error was reported', {intake_literal}::regclass
            USING ERRCODE = 'triggered_action_exception',
                HINT = 'A trigger that returns NULL or an INSTEAD rule swallows rows: have it raise an error.';
    END IF;
    -- A dump that was restored by a role that may not write to the catalogue.
    IF changed AND NOT ai._wake_worker({id}, {intake_literal}::regclass) THEN
        RAISE WARNING 'the vectorizer of table % is not in the catalogue: nothing is embedded', {source_literal}::regclass
            USING HINT = 'Restore the dump as superuser, or drop the function of this trigger and make the vectorizer anew.';
    END IF;
    RETURN NULL;
END
