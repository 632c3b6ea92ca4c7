-- Runs in the statement that writes to the source, as the owner of the vectorizer. Rows that are new or have changed come
-- by here only where ai._append_change does not append their keys by itself. What is removed from the queue is locked after
-- the source rows (which the statement has locked already): the worker takes them in the same order. Where code of others is on
-- the tables, the keys are left in the intake: the worker clears away what they stand for, when that code is gone.
-- A column of the source may be called found, or old.
#variable_conflict use_column
DECLARE
    queued bool;
    embedded bool;
    -- Others may have written what this transaction does not see, or a policy may hide it: the worker clears away what it
    -- leaves.
    is_blind bool;
    -- The lock on the tables is kept: nothing is put on them meanwhile.
    may_write bool;
    written bigint;
BEGIN
    IF TG_LEVEL = 'ROW' THEN
        {by_row};
    END IF;
    may_write := ai._may_write({id}, TG_OP, {intake_literal}::regclass, {queue_literal}::regclass, {failed_literal}::regclass, {target_literal}::regclass);
    IF may_write IS NULL THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        is_blind := NOT may_write OR current_setting('transaction_isolation') <> 'read committed' OR {filtered};
        IF may_write THEN
            {remove_deleted}
            embedded := {deleted_was_embedded};
        END IF;
        IF is_blind THEN
            INSERT INTO {intake} ({pk}) SELECT {old_pk} FROM old_rows o;
            GET DIAGNOSTICS written = ROW_COUNT;
            IF written < (SELECT count(*) FROM old_rows) THEN
                RAISE EXCEPTION 'nothing was written to %, and no error was reported', {intake_literal}::regclass
                    USING ERRCODE = 'triggered_action_exception',
                        HINT = 'A trigger that returns NULL or an INSTEAD rule swallows rows: have it raise an error.';
            END IF;
            -- A dump that was restored by a role that may not write to the catalogue.
            IF written > 0 AND NOT ai._wake_worker({id}, {intake_literal}::regclass) THEN
                RAISE WARNING 'the vectorizer of table % is not in the catalogue: nothing is embedded', {source_literal}::regclass
                    USING HINT = 'Restore the dump as superuser, or drop the function of this trigger and make the vectorizer anew.';
            END IF;
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
    RETURN NULL;
END
