-- Default privileges of the role that installs the extension (ALTER DEFAULT PRIVILEGES) are meant for tables of an application: what
-- follows grants all that there is to grant.
DO $$
DECLARE
    stray record;
BEGIN
    FOR stray IN
        SELECT pg_catalog.format('REVOKE ALL ON %s %s FROM %s CASCADE', o.kind, o.name,
                                 CASE o.grantee WHEN 0 THEN 'PUBLIC' ELSE o.grantee::pg_catalog.regrole::text END) AS command
        FROM (
            SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::pg_catalog.regclass::text, a.grantee
            FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
            WHERE c.relnamespace OPERATOR(pg_catalog.=) 'ai'::pg_catalog.regnamespace
              AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,v,S}') AND a.grantee OPERATOR(pg_catalog.<>) c.relowner
            UNION
            SELECT 'SCHEMA', pg_catalog.quote_ident(n.nspname), a.grantee
            FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS a
            WHERE n.nspname OPERATOR(pg_catalog.=) 'ai' AND a.grantee OPERATOR(pg_catalog.<>) n.nspowner
        ) AS o (kind, name, grantee)
    LOOP
        EXECUTE stray.command;
    END LOOP;
END
$$;
-- Everyone may look and call; a view shows each role its own, and what a call may do is checked in it. Nobody writes to the
-- tables but the library.
GRANT USAGE ON SCHEMA ai TO PUBLIC;
GRANT SELECT ON
    ai.vectorizer, ai.vectorizer_status, ai.vectorizer_errors, ai.vectorizer_failed, ai.worker_status, ai._seen_vectorizer,
    ai._noted_vectorizer, ai._watched_vectorizer
TO PUBLIC;
-- pgai has tables of these names, and people write to them: superusers, and roles that were granted it, are told what to
-- call. Before the statement, since one that finds no row has changed nothing either; Postgres asks for a trigger INSTEAD OF
-- it besides. To all others the privilege is missing, and must be: LOCK TABLE and FOR UPDATE on a view that a role may
-- write to lock the tables behind it, pg_class among them, with the privileges of the view's owner.
CREATE FUNCTION ai._refuse_write() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'cannot write to ai.%: it is a view', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = CASE TG_TABLE_NAME
            WHEN 'vectorizer' THEN
                'Call ai.enable_vectorizer_schedule, ai.disable_vectorizer_schedule, ai.set_scheduling or ai.drop_vectorizer; '
                'any other change of a configuration takes another vectorizer, by ai.create_vectorizer.'
            WHEN 'vectorizer_errors' THEN
                'A row goes when its document is embedded or deleted. Call ai.retry_vectorizer to have documents tried again.'
            WHEN 'vectorizer_failed' THEN 'Call ai.retry_vectorizer to have documents tried again.'
            ELSE 'It shows what is. ai.vectorizer has the vectorizers, and their functions change them.' END;
END
$$;
COMMENT ON FUNCTION ai._refuse_write() IS 'Says what to call instead of writing to a view.';
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY '{vectorizer,vectorizer_status,vectorizer_errors,vectorizer_failed,worker_status}'::text[] LOOP
        EXECUTE pg_catalog.format(
            'CREATE TRIGGER refuse_statement BEFORE INSERT OR UPDATE OR DELETE ON ai.%I FOR EACH STATEMENT EXECUTE FUNCTION ai._refuse_write()', name);
        EXECUTE pg_catalog.format(
            'CREATE TRIGGER refuse_row INSTEAD OF INSERT OR UPDATE OR DELETE ON ai.%I FOR EACH ROW EXECUTE FUNCTION ai._refuse_write()', name);
    END LOOP;
END
$$;
-- The triggers on source tables, which run as the owners of those, ask whether their queue is known. Those of a dump may
-- have been written by an earlier version.
GRANT SELECT (id, queue) ON ai._vectorizer TO PUBLIC;
-- Who may read it sees all vectorizers, and in the views what is noted about them.
GRANT SELECT ON ai._vectorizer TO pg_monitor;

-- Nor are default privileges meant for its functions, which are all there by now.
DO $$
DECLARE
    stray record;
BEGIN
    FOR stray IN
        SELECT DISTINCT pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM %s CASCADE', p.oid::pg_catalog.regprocedure,
                                          a.grantee::pg_catalog.regrole) AS command
        FROM pg_catalog.pg_proc p CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) AS a
        WHERE p.pronamespace OPERATOR(pg_catalog.=) 'ai'::pg_catalog.regnamespace
          AND a.grantee OPERATOR(pg_catalog.<>) p.proowner AND a.grantee OPERATOR(pg_catalog.<>) 0
    LOOP
        EXECUTE stray.command;
    END LOOP;
END
$$;

-- The launcher learns of the extension in this database when the transaction commits.
SELECT ai._wake_worker();
