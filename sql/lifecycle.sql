-- What happens to a vectorizer when its tables are altered, dropped, dumped and restored.

-- Rows that are restored, or changed by hand, reach the worker like those of ai.create_vectorizer.
CREATE FUNCTION ai._catalogue_changed() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'catalogue_changed_wrapper';
COMMENT ON FUNCTION ai._catalogue_changed() IS 'Makes the worker read the vectorizers again when the transaction commits.';
REVOKE EXECUTE ON FUNCTION ai._catalogue_changed() FROM PUBLIC;
CREATE TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON ai._vectorizer
    FOR EACH ROW EXECUTE FUNCTION ai._catalogue_changed();

-- What was noted about a vectorizer goes with it.
CREATE FUNCTION ai._forget_vectorizer() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM ai._vectorizer_errors e WHERE e.id = OLD.id;
    DELETE FROM ai._vectorizer_document d WHERE d.id = OLD.id;
    DELETE FROM ai._vectorizer_run r WHERE r.id = OLD.id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ai._forget_vectorizer() IS 'Removes what was noted about a vectorizer that is gone.';
REVOKE EXECUTE ON FUNCTION ai._forget_vectorizer() FROM PUBLIC;
CREATE TRIGGER forget_vectorizer AFTER DELETE ON ai._vectorizer
    FOR EACH ROW EXECUTE FUNCTION ai._forget_vectorizer();

CREATE FUNCTION ai._objects_altered(classes oid[], altered oid[]) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'objects_altered_wrapper';
COMMENT ON FUNCTION ai._objects_altered(oid[], oid[]) IS
    'Follows objects that were made or altered: what belongs to a vectorizer, and its trigger function. Called by an event trigger.';
REVOKE EXECUTE ON FUNCTION ai._objects_altered(oid[], oid[]) FROM PUBLIC;

-- The trigger functions name tables and columns; the catalogue knows them by number. Without jit: in a session that avoids
-- scans (enable_seqscan = off), to have its vectors found by an index, each scan looks so dear that it would be compiled.
CREATE FUNCTION ai._after_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    PERFORM ai._objects_altered(array_agg(d.classid), array_agg(d.objid))
    FROM pg_event_trigger_ddl_commands() d WHERE d.objid IS NOT NULL;
END
$$;
COMMENT ON FUNCTION ai._after_ddl() IS 'Follows renamed and moved tables, and tables whose columns change.';
REVOKE EXECUTE ON FUNCTION ai._after_ddl() FROM PUBLIC;
CREATE EVENT TRIGGER ai_after_ddl ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'ALTER SCHEMA', 'ALTER VIEW', 'CREATE TRIGGER', 'ALTER TRIGGER',
                 'ALTER FUNCTION', 'ALTER ROUTINE', 'ALTER TYPE', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE')
    EXECUTE FUNCTION ai._after_ddl();
COMMENT ON EVENT TRIGGER ai_after_ddl IS 'Has vectorizers follow the names of their tables and columns.';

-- A statement that gives a column another type may give its rows another text (ALTER COLUMN ... TYPE ... USING), which no trigger
-- of theirs is told.
CREATE FUNCTION ai._note_rewrite(rewritten oid) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'note_rewrite_wrapper';
COMMENT ON FUNCTION ai._note_rewrite(oid) IS
    'Notes that a statement writes all rows of a table anew: its documents may become others. Called by an event trigger.';
REVOKE EXECUTE ON FUNCTION ai._note_rewrite(oid) FROM PUBLIC;

CREATE FUNCTION ai._before_rewrite() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    PERFORM ai._note_rewrite(pg_event_trigger_table_rewrite_oid());
END
$$;
COMMENT ON FUNCTION ai._before_rewrite() IS 'Notes which tables are written anew.';
REVOKE EXECUTE ON FUNCTION ai._before_rewrite() FROM PUBLIC;
CREATE EVENT TRIGGER ai_before_rewrite ON table_rewrite EXECUTE FUNCTION ai._before_rewrite();
COMMENT ON EVENT TRIGGER ai_before_rewrite IS 'Has documents looked at again whose rows are written anew.';

CREATE FUNCTION ai._relations_dropped(relations oid[]) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'relations_dropped_wrapper';
COMMENT ON FUNCTION ai._relations_dropped(oid[]) IS
    'Drops the vectorizers that lose one of these relations, and follows what else was dropped. Called by an event trigger.';
REVOKE EXECUTE ON FUNCTION ai._relations_dropped(oid[]) FROM PUBLIC;

CREATE FUNCTION ai._after_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    -- The extension itself is being dropped.
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'ai') THEN
        RETURN;
    END IF;
    PERFORM ai._relations_dropped(ARRAY(
        SELECT d.objid FROM pg_event_trigger_dropped_objects() d WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0));
END
$$;
COMMENT ON FUNCTION ai._after_drop() IS 'Drops the vectorizers whose tables are dropped.';
REVOKE EXECUTE ON FUNCTION ai._after_drop() FROM PUBLIC;
CREATE EVENT TRIGGER ai_after_drop ON sql_drop EXECUTE FUNCTION ai._after_drop();
COMMENT ON EVENT TRIGGER ai_after_drop IS 'Leaves no vectorizer behind whose tables are gone.';

-- The validator of a wrapper does not see the type of a server. What was paused for want of a privilege or an option goes on
-- at once when that is given.
CREATE FUNCTION ai._after_server() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    PERFORM ai._check_server(w.fdwname::text, s.srvtype, s.srvoptions)
    FROM pg_event_trigger_ddl_commands() d
    JOIN pg_foreign_server s ON s.oid = d.objid
    JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    WHERE d.classid = 'pg_foreign_server'::regclass;
    IF tg_tag NOT IN ('GRANT', 'REVOKE') THEN
        PERFORM ai._servers_changed(array_agg(d.classid), array_agg(d.objid)) FROM pg_event_trigger_ddl_commands() d;
    ELSIF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() d WHERE d.object_type = 'FOREIGN SERVER') THEN
        PERFORM ai._grants_changed();
    END IF;
END
$$;
COMMENT ON FUNCTION ai._after_server() IS 'Checks foreign servers, and lets the worker know that one has changed.';
REVOKE EXECUTE ON FUNCTION ai._after_server() FROM PUBLIC;

-- A GRANT does not say which servers it is about, and one that grants nothing looks like any other: privileges are
-- noted before.
CREATE FUNCTION ai._note_grants() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'note_grants_wrapper';
COMMENT ON FUNCTION ai._note_grants() IS 'Notes who may use which foreign server, before that changes. Called by an event trigger.';
REVOKE EXECUTE ON FUNCTION ai._note_grants() FROM PUBLIC;

CREATE FUNCTION ai._grants_changed() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'grants_changed_wrapper';
COMMENT ON FUNCTION ai._grants_changed() IS
    'Makes the worker look at the foreign servers again whose privileges are others than was noted. Called by an event trigger.';
REVOKE EXECUTE ON FUNCTION ai._grants_changed() FROM PUBLIC;

CREATE FUNCTION ai._before_grant() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    PERFORM ai._note_grants();
END
$$;
COMMENT ON FUNCTION ai._before_grant() IS 'Notes who may use which foreign server.';
REVOKE EXECUTE ON FUNCTION ai._before_grant() FROM PUBLIC;

CREATE FUNCTION ai._user_of_server(server text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'user_of_server_wrapper';
COMMENT ON FUNCTION ai._user_of_server(text) IS 'A vectorizer that uses a foreign server, of any owner.';
REVOKE EXECUTE ON FUNCTION ai._user_of_server(text) FROM PUBLIC;

CREATE FUNCTION ai._after_server_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    used record;
BEGIN
    FOR used IN
        SELECT ai._user_of_server(d.object_name) AS name, d.object_name AS server
        FROM pg_event_trigger_dropped_objects() d
        WHERE d.classid = 'pg_foreign_server'::regclass
    LOOP
        IF used.name IS NOT NULL THEN
            RAISE EXCEPTION 'the foreign server % is used by the vectorizer %', used.server, used.name
                USING ERRCODE = 'dependent_objects_still_exist', HINT = 'Drop the vectorizer with ai.drop_vectorizer first.';
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ai._after_server_drop() IS 'Keeps foreign servers that vectorizers use.';
REVOKE EXECUTE ON FUNCTION ai._after_server_drop() FROM PUBLIC;
-- A role that drops the mapping that was made for it would be given the key of others: dropping is writing options, too.
CREATE FUNCTION ai._keeps_mappings(server text) RETURNS bool
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'keeps_mappings_wrapper';
COMMENT ON FUNCTION ai._keeps_mappings(text) IS 'Whether user mappings of a server are not for the caller to drop.';
-- Not SECURITY DEFINER: it asks who drops.
CREATE FUNCTION ai._after_mapping_drop() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_event_trigger_dropped_objects() d
        WHERE d.object_type = 'user mapping' AND ai._keeps_mappings(d.address_args[1]))
    THEN
        RAISE EXCEPTION 'permission denied to drop user mappings of foreign servers of ai'
            USING ERRCODE = 'insufficient_privilege', HINT = 'Only a superuser may say where the credentials of the server are used.';
    END IF;
END
$$;
COMMENT ON FUNCTION ai._after_mapping_drop() IS 'Keeps user mappings, which only superusers write.';
REVOKE EXECUTE ON FUNCTION ai._after_mapping_drop() FROM PUBLIC;
CREATE EVENT TRIGGER ai_before_grant ON ddl_command_start WHEN TAG IN ('GRANT', 'REVOKE') EXECUTE FUNCTION ai._before_grant();
COMMENT ON EVENT TRIGGER ai_before_grant IS 'Notes who may use which foreign server, before that changes.';
CREATE EVENT TRIGGER ai_after_server ON ddl_command_end
    WHEN TAG IN ('CREATE SERVER', 'ALTER SERVER', 'GRANT', 'REVOKE', 'CREATE USER MAPPING', 'ALTER USER MAPPING')
    EXECUTE FUNCTION ai._after_server();
COMMENT ON EVENT TRIGGER ai_after_server IS 'Checks foreign servers, and lets the worker know that one has changed.';
CREATE EVENT TRIGGER ai_after_server_drop ON sql_drop
    WHEN TAG IN ('DROP SERVER', 'DROP FOREIGN DATA WRAPPER', 'DROP OWNED')
    EXECUTE FUNCTION ai._after_server_drop();
COMMENT ON EVENT TRIGGER ai_after_server_drop IS 'Keeps foreign servers that vectorizers use.';
CREATE EVENT TRIGGER ai_after_mapping_drop ON sql_drop
    WHEN TAG IN ('DROP USER MAPPING', 'DROP OWNED')
    EXECUTE FUNCTION ai._after_mapping_drop();
COMMENT ON EVENT TRIGGER ai_after_mapping_drop IS 'Keeps user mappings, which only superusers write.';

-- Vectorizers are data: they are dumped, and restored into the tables of a fresh extension.
SELECT pg_catalog.pg_extension_config_dump('ai._vectorizer', '');
SELECT pg_catalog.pg_extension_config_dump('ai.vectorizer_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('ai._vectorizer_run', '');
SELECT pg_catalog.pg_extension_config_dump('ai._vectorizer_errors', 'WHERE primary_key IS NOT NULL');
SELECT pg_catalog.pg_extension_config_dump('ai._vectorizer_document', '');
