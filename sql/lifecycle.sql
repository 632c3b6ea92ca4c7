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

-- What of a table, or of a function, of a vectorizer would run as its next owner, or for others with that owner's privileges:
-- the extension gives away what it has made, and nothing that somebody has put on it. NULL: nothing.
CREATE FUNCTION ai._burden(class regclass, object oid, source oid, giver oid) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN c.relowner <> giver THEN format('it belongs to %s', c.relowner::regrole)
        WHEN c.relkind <> 'r' THEN 'it is no table any more'
        WHEN EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid) THEN 'it has rules'
        WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) THEN 'it has triggers'
        WHEN EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid) THEN 'it has policies'
        WHEN EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)) THEN 'it inherits, or is inherited from'
        -- Functions and operators in defaults, constraints, indexes and statistics, and types of columns that the key has not.
        WHEN EXISTS (
            SELECT FROM pg_depend d
            JOIN (SELECT p.oid, 'pg_proc'::regclass, p.proowner FROM pg_proc p
                  UNION ALL SELECT o.oid, 'pg_operator'::regclass, o.oprowner FROM pg_operator o
                  UNION ALL SELECT t.oid, 'pg_type'::regclass, t.typowner FROM pg_type t
                  WHERE t.oid NOT IN (SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = source)
            ) AS u (oid, class, owner) ON d.refclassid = u.class AND d.refobjid = u.oid
            JOIN pg_roles r ON r.oid = u.owner AND NOT r.rolsuper
            WHERE d.deptype = 'n' AND (d.classid, d.objid) IN (
                SELECT 'pg_class'::regclass, c.oid
                UNION ALL SELECT 'pg_class'::regclass, i.indexrelid FROM pg_index i WHERE i.indrelid = c.oid
                UNION ALL SELECT 'pg_attrdef'::regclass, a.oid FROM pg_attrdef a WHERE a.adrelid = c.oid
                UNION ALL SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k WHERE k.conrelid = c.oid
                UNION ALL SELECT 'pg_statistic_ext'::regclass, e.oid FROM pg_statistic_ext e WHERE e.stxrelid = c.oid)
        ) THEN 'it has columns, defaults, constraints, indexes or statistics that use what its owner wrote'
    END
    FROM pg_class c WHERE class = 'pg_class'::regclass AND c.oid = object
    UNION ALL
    SELECT CASE
        WHEN p.proowner <> giver THEN format('it belongs to %s', p.proowner::regrole)
        WHEN EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee <> p.proowner) THEN 'others may execute it'
        WHEN EXISTS (
            SELECT FROM pg_trigger t
            WHERE t.tgfoid = p.oid AND t.tgrelid <> source AND t.tgrelid NOT IN (SELECT m FROM ai._partitions(source) AS m)
        ) THEN 'it is the function of triggers on other tables'
    END
    FROM pg_proc p WHERE class = 'pg_proc'::regclass AND p.oid = object
$$;
COMMENT ON FUNCTION ai._burden(regclass, oid, oid, oid) IS
    'What keeps an object of a vectorizer from changing hands with its source; NULL: nothing.';
REVOKE EXECUTE ON FUNCTION ai._burden(regclass, oid, oid, oid) FROM PUBLIC;

-- The trigger functions name tables and columns; the catalogue knows them by number. Without jit: in a session that avoids
-- scans (enable_seqscan = off), to have its vectors found by an index, each scan looks so dear that it would be compiled.
CREATE FUNCTION ai._after_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    concerned int4[];
    everywhere bool;
    stray record;
BEGIN
    -- Of those that it concerns: whoever alters tables of his own should not have the others tried again.
    WITH command AS MATERIALIZED (
        SELECT d.classid, d.objid FROM pg_event_trigger_ddl_commands() d
    )
    SELECT ARRAY(
        SELECT v.id FROM command d
        JOIN ai._vectorizer v ON d.objid IN (v.source, v.target, v.view, v.queue, v.queue_failed, v.intake)
        WHERE d.classid = 'pg_class'::regclass
        UNION
        -- A partition came or went.
        SELECT v.id FROM command d
        JOIN ai._vectorizer v ON v.source = pg_partition_root(d.objid::regclass)
        WHERE d.classid = 'pg_class'::regclass
        UNION
        -- The source joined the table; or its columns come from there, or from its type.
        SELECT v.id FROM command d
        CROSS JOIN LATERAL ai._partitions(d.objid::regclass) AS c (oid)
        JOIN ai._vectorizer v ON v.source = c.oid
        WHERE d.classid = 'pg_class'::regclass
        UNION
        -- It got a child.
        SELECT v.id FROM command d
        JOIN pg_inherits i ON i.inhrelid = d.objid
        JOIN ai._vectorizer v ON v.source = i.inhparent
        WHERE d.classid = 'pg_class'::regclass
        UNION
        SELECT v.id FROM command d
        JOIN pg_class t ON t.oid = d.objid AND t.relkind = 'c'
        JOIN pg_class s ON s.reloftype = t.reltype
        JOIN ai._vectorizer v ON v.source = s.oid
        WHERE d.classid = 'pg_class'::regclass
        UNION
        SELECT v.id FROM command d
        JOIN pg_trigger t ON t.oid = d.objid
        JOIN ai._vectorizer v ON v.source = t.tgrelid
            AND (t.tgfoid = to_regprocedure(v.trigger_function || '()')
                 OR t.tgfoid = 'ai._append_change'::regproc AND t.tgname = v.trigger_name)
        WHERE d.classid = 'pg_trigger'::regclass
        UNION
        -- The function of a trigger was renamed or moved.
        SELECT v.id FROM command d
        JOIN pg_trigger t ON t.tgfoid = d.objid
        JOIN ai._vectorizer v ON v.source = t.tgrelid
        WHERE d.classid = 'pg_proc'::regclass AND to_regprocedure(v.trigger_function || '()') IS DISTINCT FROM t.tgfoid
          AND starts_with(t.tgname, v.trigger_name)
        ORDER BY 1
    ), EXISTS (
        SELECT FROM command d
        -- The name of a schema is in the functions of all whose tables, types or operators are in it. And
        -- pg_restore --data-only --disable-triggers has put rows into the catalogue.
        WHERE d.classid = 'pg_namespace'::regclass
           OR d.classid = 'pg_class'::regclass AND d.objid = 'ai._vectorizer'::regclass
    )
    INTO concerned, everywhere;
    -- Most of what a database is told concerns no vectorizer, and should not wait for what follows.
    IF concerned = '{}' AND NOT everywhere THEN
        RETURN;
    END IF;
    PERFORM ai._refresh_vectorizer(c.id) FROM unnest(concerned) AS c (id);
    IF everywhere THEN
        PERFORM ai._refresh_triggers();
    END IF;
    -- Whoever gets the source gets what belongs to it: the worker reads and writes as the owner of the source. But not a view
    -- that was made to read other tables: it would read them as the new owner, for whom the old one has let look.
    FOR stray IN
        SELECT v.id, v.view::text AS name
        FROM ai._vectorizer v
        JOIN pg_class s ON s.oid = v.source
        JOIN pg_class c ON c.oid = v.view AND c.relowner <> s.relowner
        WHERE v.source IN (SELECT d.objid FROM pg_event_trigger_ddl_commands() d WHERE d.classid = 'pg_class'::regclass)
          AND (c.relkind <> 'v'
               OR c.relowner <> (SELECT t.relowner FROM pg_class t WHERE t.oid = v.target)
               OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN')
               OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid)
               OR EXISTS (
                   SELECT FROM pg_rewrite r
                   JOIN pg_depend p ON p.classid = 'pg_rewrite'::regclass AND p.objid = r.oid
                   WHERE r.ev_class = c.oid
                     AND CASE p.refclassid
                         WHEN 'pg_class'::regclass THEN p.refobjid NOT IN (c.oid, v.source, v.target)
                         WHEN 'pg_proc'::regclass THEN (SELECT NOT o.rolsuper FROM pg_proc f JOIN pg_roles o ON o.oid = f.proowner
                                                        WHERE f.oid = p.refobjid)
                         WHEN 'pg_operator'::regclass THEN (SELECT NOT o.rolsuper FROM pg_operator f JOIN pg_roles o ON o.oid = f.oprowner
                                                            WHERE f.oid = p.refobjid)
                         ELSE false
                     END))
    LOOP
        RAISE WARNING 'the view % is not as its vectorizer made it: it stays with its owner', stray.name
            USING HINT = 'It would read tables, or run functions, as the new owner. Look at it, and give it to the new owner by itself.';
        UPDATE ai._vectorizer v SET view = NULL WHERE v.id = stray.id;
    END LOOP;
    FOR stray IN
        SELECT o.kind, o.name, s.relowner,
               CASE o.kind
                   WHEN 'TABLE' THEN ai._burden('pg_class', o.oid, v.source, giver.relowner)
                   WHEN 'FUNCTION' THEN ai._burden('pg_proc', o.oid, v.source, giver.relowner)
               END AS burden
        FROM ai._vectorizer v
        JOIN pg_class s ON s.oid = v.source
        JOIN pg_class giver ON giver.oid = coalesce(v.intake, v.queue)
        CROSS JOIN LATERAL (
            SELECT CASE c.oid WHEN v.view THEN 'VIEW' ELSE 'TABLE' END, c.oid::regclass::text, c.relowner, c.oid FROM pg_class c
            WHERE c.oid IN (v.target, v.view, v.queue, v.queue_failed, v.intake)
            UNION ALL
            -- By its name, which somebody else's function may have by now.
            SELECT 'FUNCTION', p.oid::regprocedure::text, p.proowner, p.oid FROM pg_proc p
            WHERE p.oid = to_regprocedure(v.trigger_function || '()')
              AND p.proowner IN (SELECT q.relowner FROM pg_class q WHERE q.oid IN (v.queue, v.queue_failed))
        ) AS o (kind, name, owner, oid)
        WHERE o.owner <> s.relowner
          AND v.source IN (SELECT d.objid FROM pg_event_trigger_ddl_commands() d WHERE d.classid = 'pg_class'::regclass)
    LOOP
        IF stray.burden IS NOT NULL THEN
            RAISE EXCEPTION 'the table cannot change hands: % belongs to its vectorizer and is not as that made it', stray.name
                USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('Of %s: %s.', stray.name, stray.burden),
                      HINT = format('What is on it would run as %s. Take that away; or look at it, and give it away by itself first: ALTER %s %s OWNER TO %s.',
                                    stray.relowner::regrole, stray.kind, stray.name, stray.relowner::regrole);
        END IF;
        EXECUTE format('ALTER %s %s OWNER TO %s', stray.kind, stray.name, stray.relowner::regrole);
    END LOOP;
    -- After a crash all of them are empty, or none.
    FOR stray IN
        SELECT c.oid::regclass::text AS name, s.relpersistence
        FROM ai._vectorizer v
        JOIN pg_class s ON s.oid = v.source
        JOIN pg_class c ON c.oid IN (v.target, v.queue, v.queue_failed, v.intake) AND c.relpersistence <> s.relpersistence
            AND c.relkind = 'r' AND c.relowner = s.relowner
        WHERE s.relkind = 'r'
          AND v.source IN (SELECT d.objid FROM pg_event_trigger_ddl_commands() d WHERE d.classid = 'pg_class'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s SET %s', stray.name, CASE stray.relpersistence WHEN 'u' THEN 'UNLOGGED' ELSE 'LOGGED' END);
    END LOOP;
END
$$;
COMMENT ON FUNCTION ai._after_ddl() IS 'Follows renamed and moved tables, and tables whose columns change.';
REVOKE EXECUTE ON FUNCTION ai._after_ddl() FROM PUBLIC;
CREATE EVENT TRIGGER ai_after_ddl ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'ALTER SCHEMA', 'ALTER VIEW', 'CREATE TRIGGER', 'ALTER TRIGGER',
                 'ALTER FUNCTION', 'ALTER ROUTINE', 'ALTER TYPE', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE')
    EXECUTE FUNCTION ai._after_ddl();
COMMENT ON EVENT TRIGGER ai_after_ddl IS 'Keeps vectorizers in step with the names of their tables and columns.';

CREATE FUNCTION ai._after_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    vectorizer record;
    lost record;
    relation regclass;
    function regprocedure;
    told text := current_setting('client_min_messages');
BEGIN
    -- The extension itself is being dropped.
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'ai') THEN
        RETURN;
    END IF;
    FOR vectorizer IN
        SELECT v.*
        FROM ai._vectorizer v
        WHERE EXISTS (
            SELECT FROM pg_event_trigger_dropped_objects() d
            WHERE d.objid IN (v.source, v.target, v.queue, v.queue_failed, v.intake)
              AND d.classid = 'pg_class'::regclass AND d.objsubid = 0)
        ORDER BY v.id
    LOOP
        RAISE NOTICE 'associated table for vectorizer % dropped. dropping vectorizer', vectorizer.id;
        -- What follows need not be told one by one.
        PERFORM set_config('client_min_messages', 'warning', true);
        -- First the row: the drops below come by here again.
        DELETE FROM ai._vectorizer v WHERE v.id = vectorizer.id;
        PERFORM ai._stop_indexer(vectorizer.id);
        -- By its name, which somebody else's function may have by now.
        SELECT p.oid INTO function FROM pg_proc p
        WHERE p.oid = to_regprocedure(vectorizer.trigger_function || '()')
          AND p.proowner IN (SELECT c.relowner FROM pg_class c
                             WHERE c.oid IN (vectorizer.source, vectorizer.target, vectorizer.queue, vectorizer.queue_failed));
        IF function IS NOT NULL THEN
            EXECUTE format('DROP FUNCTION %s CASCADE', function);
        END IF;
        IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = vectorizer.source AND t.tgname = vectorizer.trigger_name
                   AND t.tgfoid = 'ai._append_change'::regproc)
        THEN
            EXECUTE format('DROP TRIGGER %I ON %s', vectorizer.trigger_name, vectorizer.source::regclass);
        END IF;
        FOR relation IN
            SELECT c.oid FROM pg_class c
            WHERE c.oid IN (vectorizer.queue, vectorizer.queue_failed, vectorizer.intake)
              -- What its owner has made something else of stays.
              AND c.relkind IN ('r', 'p')
        LOOP
            EXECUTE format('DROP TABLE %s CASCADE', relation);
        END LOOP;
        PERFORM set_config('client_min_messages', told, true);
        -- Embeddings are paid for, and the table that they are of may have been copied before: they stay, whatever is dropped,
        -- as with ai.drop_vectorizer. What the statement itself has dropped (a schema with all that is in it) is gone.
        SELECT c.oid INTO relation FROM pg_class c WHERE c.oid = vectorizer.target;
        IF FOUND THEN
            -- Of no use to anybody, and in the way of each write.
            FOR lost IN
                SELECT i.indexrelid::regclass AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                WHERE i.indrelid = relation AND NOT i.indisvalid AND c.relname = '_vectorizer_idx_' || vectorizer.id
            LOOP
                EXECUTE format('DROP INDEX %s', lost.name);
            END LOOP;
            RAISE NOTICE 'the embeddings of vectorizer % stay in %', vectorizer.name, relation
                USING HINT = 'Drop the table where they are of no use any more.';
        END IF;
    END LOOP;
    UPDATE ai._vectorizer v SET view = NULL
    WHERE v.view IN (SELECT d.objid FROM pg_event_trigger_dropped_objects() d WHERE d.object_type = 'view');
    -- A partition was dropped, or detached and lost our trigger.
    PERFORM ai._prune_vectorizer(v.id)
    FROM pg_event_trigger_dropped_objects() d
    JOIN ai._vectorizer v ON d.address_names[3] = v.trigger_name || '_truncate'
    JOIN pg_class s ON s.oid = v.source AND s.relkind = 'p'
    JOIN pg_namespace n ON n.oid = s.relnamespace
    WHERE d.object_type = 'trigger' AND (d.address_names[1], d.address_names[2]) <> (n.nspname, s.relname)
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
