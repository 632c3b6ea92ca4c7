-- What users see. Column names and order are pgai's; what is ours comes behind them.

CREATE VIEW ai.vectorizer WITH (security_barrier) AS
SELECT v.id,
       sn.nspname AS source_schema,
       s.relname AS source_table,
       v.source_pk,
       v.trigger_name,
       qn.nspname AS queue_schema,
       q.relname AS queue_table,
       v.config,
       v.disabled,
       f.relname AS queue_failed_table,
       v.name
FROM ai._seen_vectorizer v
LEFT JOIN pg_catalog.pg_class s ON s.oid = v.source
LEFT JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
LEFT JOIN pg_catalog.pg_class q ON q.oid = v.queue
LEFT JOIN pg_catalog.pg_namespace qn ON qn.oid = q.relnamespace
LEFT JOIN pg_catalog.pg_class f ON f.oid = v.queue_failed;
COMMENT ON VIEW ai.vectorizer IS
    'The vectorizers of this database and their configuration: those of the role''s own tables, and those that it was granted.';

CREATE VIEW ai.vectorizer_status WITH (security_barrier) AS
SELECT v.id,
       v.name,
       CASE WHEN s.oid IS NOT NULL THEN pg_catalog.format('%I.%I', sn.nspname, s.relname) END AS source_table,
       CASE WHEN t.oid IS NOT NULL THEN pg_catalog.format('%I.%I', tn.nspname, t.relname) END AS target_table,
       CASE WHEN w.oid IS NOT NULL THEN pg_catalog.format('%I.%I', wn.nspname, w.relname) END AS view,
       coalesce(v.config #>> '{destination,embedding_column}', 'embedding') AS embedding_column,
       ai._pending_items(v.id) AS pending_items,
       v.disabled
FROM ai._seen_vectorizer v
LEFT JOIN pg_catalog.pg_class s ON s.oid = v.source
LEFT JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
LEFT JOIN pg_catalog.pg_class t ON t.oid = v.target
LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_class w ON w.oid = v.view
LEFT JOIN pg_catalog.pg_namespace wn ON wn.oid = w.relnamespace
LEFT JOIN pg_catalog.pg_class q ON q.oid = v.queue
LEFT JOIN pg_catalog.pg_namespace qn ON qn.oid = q.relnamespace;
COMMENT ON VIEW ai.vectorizer_status IS 'Where each vectorizer reads and writes, and how many documents wait.';

CREATE VIEW ai.vectorizer_errors WITH (security_barrier) AS
SELECT e.id, e.message,
       CASE WHEN r.may THEN e.details WHEN pg_catalog.jsonb_typeof(e.details) = 'object' THEN e.details - 'primary_key' END AS details,
       e.recorded, v.name,
       CASE WHEN r.may THEN e.primary_key END AS primary_key, e.step, e.failure_class, e.occurrences, e.first_recorded
FROM ai._vectorizer_errors e
JOIN ai._vectorizer v ON v.id = e.id
-- Keys are data of the table, and may be signed addresses: for who may read it.
CROSS JOIN LATERAL (SELECT coalesce(pg_catalog.has_table_privilege(v.source::pg_catalog.oid, 'SELECT'), false)) AS r (may)
LEFT JOIN pg_catalog.pg_class s ON s.oid = v.source
-- Reasons name documents: they are for the owner of the table, and for who watches over the server. grant_to, as in pgai,
-- is no grant of errors.
WHERE pg_catalog.pg_has_role(s.relowner, 'USAGE')
   OR pg_catalog.has_table_privilege('ai._vectorizer'::pg_catalog.regclass, 'SELECT');
COMMENT ON VIEW ai.vectorizer_errors IS
    'What fails at present: one row per document and step, with the class of the failure and how often it was met.';

CREATE VIEW ai.worker_status WITH (security_barrier) AS
SELECT p.process, p.pid, d.datname AS database, NULL::name AS vectorizer, p.state,
       p.activity || coalesce(': ' || i.phase || CASE WHEN i.current_locker_pid > 0
                                                      THEN pg_catalog.format(' of process %s', i.current_locker_pid)
                                                      ELSE '' END, '') AS activity,
       p.since, p.in_flight, p.reason
FROM ai._worker_processes() p
LEFT JOIN pg_catalog.pg_database d ON d.oid = p.database
LEFT JOIN pg_catalog.pg_stat_progress_create_index i ON i.pid = p.pid
UNION ALL
SELECT 'indexer', NULL, pg_catalog.current_database(), v.name, 'waiting', 'will try again to build the index',
       e.recorded, NULL, e.details ->> 'error_reason'
FROM ai._vectorizer_errors e
JOIN ai._seen_vectorizer v ON v.id = e.id
JOIN ai._vectorizer_index b ON b.id = e.id
WHERE e.step = 'indexing' AND NOT b.building
UNION ALL
SELECT 'vectorizer', NULL, pg_catalog.current_database(), v.name,
       CASE WHEN o.reason IS NOT NULL THEN 'waiting' WHEN st.pending_items > 0 THEN 'working' ELSE 'idle' END,
       CASE WHEN st.pending_items > 0 THEN pg_catalog.format('%s documents pending', st.pending_items) END,
       s.paused_at, NULL, o.reason
FROM ai._seen_vectorizer v
JOIN ai.vectorizer_status st ON st.id = v.id
LEFT JOIN ai._vectorizer_state s ON s.id = v.id
LEFT JOIN ai._vectorizer_run r ON r.id = v.id
LEFT JOIN ai._watched_vectorizer w ON w.id = v.id
LEFT JOIN ai._missing_keys() k ON k.id = v.id
CROSS JOIN (SELECT (SELECT p.reason FROM ai._worker_processes() p WHERE p.process = 'launcher')) AS l (reason)
CROSS JOIN LATERAL (
    SELECT ai._obstacle(v.id, l.reason, v.disabled, v.config #>> '{scheduling,implementation}', w.is_watched, s.reason,
                        s.retry_at, k.name, r.next_run, st.pending_items)
           -- Nothing else tells it of one that is stopped.
           || CASE WHEN v.disabled AND v.stranger IS NOT NULL
                   THEN pg_catalog.format('; its source belongs to %s now, and the vectorizer works for another role: look at what is on its tables before it is started', v.stranger)
                   ELSE '' END COLLATE pg_catalog."default"
) AS o (reason);
COMMENT ON VIEW ai.worker_status IS
    'The processes of the extension and the vectorizers of this database: what each does, since when, and why nothing happens where nothing happens.';
