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
COMMENT ON EVENT TRIGGER ai_after_ddl IS 'Keeps vectorizers in step with the names of their tables and columns.';

CREATE FUNCTION ai._relations_dropped(relations oid[]) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'relations_dropped_wrapper';
COMMENT ON FUNCTION ai._relations_dropped(oid[]) IS
    'Drops the vectorizers that lose one of these relations. Called by an event trigger.';
REVOKE EXECUTE ON FUNCTION ai._relations_dropped(oid[]) FROM PUBLIC;

CREATE FUNCTION ai._after_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    lost record;
BEGIN
    -- The extension itself is being dropped.
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'ai') THEN
        RETURN;
    END IF;
    PERFORM ai._relations_dropped(array_agg(d.objid)) FROM pg_event_trigger_dropped_objects() d
    WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0;
    UPDATE ai._vectorizer v SET view = NULL
    WHERE v.view IN (SELECT d.objid FROM pg_event_trigger_dropped_objects() d WHERE d.object_type = 'view');
    -- A partition was dropped, or detached and lost our trigger.
    PERFORM ai._prune_vectorizer(v.id)
    FROM pg_event_trigger_dropped_objects() d
    JOIN ai._vectorizer v ON d.address_names[3] = v.trigger_name || '_truncate'
    JOIN pg_class s ON s.oid = v.source AND s.relkind = 'p'
    -- A trigger of the same name on another role's table tells nothing. A table that has been dropped with it is no longer there
    -- to be asked whether it was a part.
    JOIN pg_namespace n ON n.oid = s.relnamespace
    LEFT JOIN pg_class p ON p.oid = to_regclass(format('%I.%I', d.address_names[1], d.address_names[2]))
    WHERE d.object_type = 'trigger' AND (d.address_names[1], d.address_names[2]) <> (n.nspname, s.relname)
      AND (p.oid = ANY (v.partitions)
           OR EXISTS (SELECT FROM pg_event_trigger_dropped_objects() t
                      WHERE t.classid = 'pg_class'::regclass AND t.objid = ANY (v.partitions)))
    GROUP BY v.id;
    FOR lost IN
        SELECT DISTINCT v.id, v.name
        FROM pg_event_trigger_dropped_objects() d
        JOIN ai._vectorizer v ON d.address_names[3] IN (v.trigger_name, v.trigger_name || '_delete', v.trigger_name || '_truncate')
        JOIN pg_class s ON s.oid = v.source AND s.relname = d.address_names[2]
        JOIN pg_namespace n ON n.oid = s.relnamespace AND n.nspname = d.address_names[1]
        WHERE d.object_type = 'trigger'
    LOOP
        RAISE NOTICE 'vectorizer % has lost triggers on its source table: it stands still until it is dropped and made again',
            lost.name;
    END LOOP;
    FOR lost IN
        SELECT DISTINCT v.id, v.name, d.address_names[3] AS column_name
        FROM pg_event_trigger_dropped_objects() d
        JOIN ai._vectorizer v ON d.objid = v.source
        WHERE d.object_type = 'table column'
          AND (d.objsubid IN (SELECT c.value::int FROM jsonb_each_text(v.columns) AS c)
               OR EXISTS (SELECT FROM jsonb_array_elements(v.source_pk) AS pk
                          WHERE (pk.value ->> 'attnum')::int = d.objsubid))
    LOOP
        RAISE NOTICE 'vectorizer % needs the column % that was dropped: it is paused until it is dropped, too',
            lost.name, lost.column_name;
    END LOOP;
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
    IF tg_tag IN ('GRANT', 'REVOKE')
        AND NOT EXISTS (SELECT FROM pg_event_trigger_ddl_commands() d WHERE d.object_type = 'FOREIGN SERVER')
    THEN
        RETURN;
    END IF;
    PERFORM ai._servers_changed();
END
$$;
COMMENT ON FUNCTION ai._after_server() IS 'Checks foreign servers, and lets the worker know that one has changed.';
REVOKE EXECUTE ON FUNCTION ai._after_server() FROM PUBLIC;

CREATE FUNCTION ai._user_of_server(server text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'user_of_server_wrapper';
COMMENT ON FUNCTION ai._user_of_server(text) IS 'A vectorizer that uses a foreign server, whoever''s it is.';
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
CREATE EVENT TRIGGER ai_after_server ON ddl_command_end
    WHEN TAG IN ('CREATE SERVER', 'ALTER SERVER', 'GRANT', 'REVOKE', 'CREATE USER MAPPING', 'ALTER USER MAPPING',
                 'DROP USER MAPPING')
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
