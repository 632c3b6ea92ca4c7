//! What a role without rights could bring about with what everybody may see, call or set.

mod support;

use support::lair::{by, lair, vectorize};
use support::{DEADLINE, Scene, wait_until};

const VIEWS: [&str; 8] = [
    "vectorizer",
    "vectorizer_status",
    "vectorizer_errors",
    "vectorizer_failed",
    "worker_status",
    "_seen_vectorizer",
    "_noted_vectorizer",
    "_watched_vectorizer",
];

/// A view that a role may write to has its tables locked for it, with the privileges of the view's owner.
#[test]
fn nobody_locks_the_catalogue_by_way_of_a_view() {
    let scene = lair();
    vectorize(&scene, "ann", "a", "doc");
    scene.cluster.execute(
        "CREATE ROLE watcher LOGIN IN ROLE pg_monitor; CREATE ROLE reader LOGIN;
         SELECT ai.grant_vectorizer_usage('reader', admin => true)",
    );
    for role in ["mallory", "ann", "watcher", "reader"] {
        for view in VIEWS {
            for mode in [
                "ROW SHARE",
                "ROW EXCLUSIVE",
                "SHARE UPDATE EXCLUSIVE",
                "SHARE",
                "SHARE ROW EXCLUSIVE",
                "EXCLUSIVE",
                "ACCESS EXCLUSIVE",
            ] {
                let lock = format!("LOCK TABLE ai.{view} IN {mode} MODE NOWAIT");
                assert_eq!(refused(&scene, role, &lock), "42501", "{role}: {lock}");
            }
            for strength in ["UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"] {
                let rows = format!("SELECT 1 FROM ai.{view} FOR {strength} NOWAIT");
                assert_eq!(refused(&scene, role, &rows), "42501", "{role}: {rows}");
            }
        }
        let held = "SELECT has_table_privilege($1, c.oid, p), c.relname || ':' || p";
        let held = held.replace("$1", &format!("'{role}'"));
        let granted = format!(
            "SELECT name FROM ({held} FROM pg_class c,
                 unnest('{{INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}}'::text[]) AS p
                 WHERE c.relnamespace = 'ai'::regnamespace AND c.relkind IN ('r', 'v')
                   AND c.oid IN (SELECT objid FROM pg_depend WHERE deptype = 'e')) AS held (may, name) WHERE may"
        );
        assert_eq!(scene.cluster.column(&granted), [""; 0], "{role}");
    }
}

/// The SQLSTATE of a statement that a role runs in a transaction.
fn refused(scene: &Scene, role: &str, sql: &str) -> String {
    let (code, _) = scene
        .cluster
        .refusal(&format!("SET SESSION AUTHORIZATION {role}; BEGIN; {sql}"));
    scene.cluster.execute("ROLLBACK; RESET SESSION AUTHORIZATION");
    code
}

/// The trigger of rows calls the function of the vectorizer where a key has changed. It finds it by the name
/// of a trigger.
#[test]
fn a_trigger_that_calls_itself_brings_no_server_down() {
    let scene = lair();
    vectorize(&scene, "mallory", "m", "doc");
    vectorize(&scene, "mallory", "m", "other");
    scene
        .cluster
        .execute("INSERT INTO m.doc VALUES (1, 'one'), (2, 'two'); INSERT INTO m.other VALUES (1, 'one')");
    let before = scene.cluster.value("SELECT pg_postmaster_start_time()::text");
    by(
        &scene,
        "mallory",
        "DROP TRIGGER _vectorizer_src_trg_1_delete ON m.doc;
         CREATE TRIGGER _vectorizer_src_trg_1_delete AFTER INSERT OR UPDATE ON m.doc
             FOR EACH ROW EXECUTE FUNCTION ai._append_change('1');
         UPDATE m.doc SET id = id + 100;
         -- Functions of Postgres, which take what they are given for theirs.
         DROP TRIGGER _vectorizer_src_trg_1_delete ON m.doc;
         CREATE TRIGGER _vectorizer_src_trg_1_delete BEFORE UPDATE ON m.doc
             FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
         UPDATE m.doc SET id = id + 100;
         -- Of her own, which writes to the table again.
         DROP TRIGGER _vectorizer_src_trg_2_delete ON m.other;
         CREATE FUNCTION m.again() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             UPDATE m.other SET id = NEW.id + 1 WHERE id = NEW.id;
             RETURN NEW;
         END $$;
         CREATE TRIGGER _vectorizer_src_trg_2_delete AFTER DELETE ON m.other FOR EACH ROW EXECUTE FUNCTION m.again()",
    );
    let endless = "SET SESSION AUTHORIZATION mallory; UPDATE m.other SET id = id + 1";
    assert_eq!(scene.cluster.refusal(endless).0, "54001");
    scene.cluster.execute("RESET SESSION AUTHORIZATION");
    assert_eq!(scene.cluster.value("SELECT pg_postmaster_start_time()::text"), before);
    assert!(
        !scene.cluster.log().contains("terminated by signal"),
        "{}",
        scene.cluster.log()
    );
}

/// The owner of a database sets what she likes for it.
#[test]
fn the_owner_of_a_database_is_not_granted_what_others_make() {
    let scene = lair();
    scene.cluster.execute("ALTER DATABASE postgres OWNER TO mallory");
    for setting in [
        "ALTER DATABASE postgres SET ai.grant_to_default = 'mallory'",
        "SET ai.grant_to_default = 'mallory'",
        "SELECT set_config('ai.grant_to_default', 'mallory', false)",
    ] {
        let (code, message) = scene
            .cluster
            .refusal(&format!("SET SESSION AUTHORIZATION mallory; {setting}"));
        scene.cluster.execute("RESET SESSION AUTHORIZATION");
        assert_eq!(code, "42501", "{setting}: {message}");
    }
    vectorize(&scene, "ann", "a", "doc");
    let may = "SELECT has_table_privilege('mallory', 'a.doc', 'SELECT')";
    assert_eq!(scene.cluster.value(may), "f");
}

/// What is locked against the code of owners is pinned before: the owner of a database says how its processes begin.
#[test]
fn settings_of_a_database_do_not_end_its_worker() {
    let scene = lair();
    scene.cluster.execute(
        "ALTER DATABASE postgres SET temp_buffers = 1073741823; ALTER DATABASE postgres SET exit_on_error = on",
    );
    vectorize(&scene, "mallory", "m", "doc");
    by(
        &scene,
        "mallory",
        "CREATE FUNCTION m.temporary() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             CREATE TEMP TABLE IF NOT EXISTS tt (x int);
             INSERT INTO tt VALUES (1);
             RETURN NEW;
         END $$;
         CREATE TRIGGER temporary BEFORE INSERT ON m.doc_embedding_store FOR EACH ROW EXECUTE FUNCTION m.temporary();
         INSERT INTO m.doc VALUES (1, 'one')",
    );
    scene
        .cluster
        .wait_for("the document", "SELECT count(*) FROM m.doc_embedding_store", "1");
    assert!(
        !scene.cluster.log().contains("FATAL:  out of memory"),
        "{}",
        scene.cluster.log()
    );
}

/// An older view of the data does not hide from the event triggers what they guard.
#[test]
fn mappings_and_servers_are_kept_from_transactions_that_began_before_them() {
    let scene = lair();
    let mut old = scene.cluster.connect().expect("another session");
    old.batch_execute(
        "SET SESSION AUTHORIZATION mallory; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class",
    )
    .expect("a look");
    scene.cluster.execute(
        "CREATE SERVER acme TYPE 'openai' FOREIGN DATA WRAPPER ai_provider OPTIONS (base_url 'http://127.0.0.1:1/v1');
         CREATE USER MAPPING FOR mallory SERVER acme OPTIONS (api_key 'env:A');
         CREATE USER MAPPING FOR PUBLIC SERVER acme OPTIONS (api_key 'env:B');
         GRANT USAGE ON FOREIGN SERVER acme TO mallory",
    );
    let dropped = old.batch_execute("DROP USER MAPPING FOR mallory SERVER acme");
    let code = dropped
        .expect_err("a mapping that only superusers write")
        .code()
        .cloned();
    assert_eq!(code.map(|code| code.code().to_owned()).as_deref(), Some("42501"));
    old.batch_execute(
        "ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ; RESET SESSION AUTHORIZATION; SELECT count(*) FROM pg_class",
    )
    .expect("a look");
    // The server is used by a vectorizer that is newer than the view of the data.
    scene.cluster.execute(
        "CREATE TABLE used (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('used', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4, server => 'acme'))",
    );
    let dropped = old.batch_execute("DROP SERVER acme CASCADE");
    let code = dropped.expect_err("a server that a vectorizer uses").code().cloned();
    assert_eq!(code.map(|code| code.code().to_owned()).as_deref(), Some("2BP01"));
}

/// A server that was altered in an older view of the data is checked.
#[test]
fn a_server_is_checked_in_transactions_that_began_before_it() {
    let scene = lair();
    let mut old = scene.cluster.connect().expect("another session");
    old.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class")
        .expect("a look");
    scene
        .cluster
        .execute("CREATE SERVER files TYPE 'file' FOREIGN DATA WRAPPER ai_source");
    let altered = old.batch_execute("ALTER SERVER files OPTIONS (ADD region 'eu-west-1')");
    assert!(altered.is_err(), "an option of another type was taken");
}

/// What the process that builds indexes is at, for who sees the vectorizer.
#[test]
fn others_do_not_learn_whose_index_is_built() {
    let scene = lair();
    by(
        &scene,
        "ann",
        "CREATE TABLE a.doc (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('a.doc', name => 'secret_project_x', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4),
             indexing => ai.indexing_hnsw(min_rows => 1));
         INSERT INTO a.doc VALUES (1, 'one')",
    );
    scene
        .cluster
        .wait_for("the document", "SELECT count(*) FROM a.doc_embedding_store", "1");
    let mut holder = scene.cluster.connect().expect("another session");
    holder
        .batch_execute("BEGIN; LOCK TABLE a.doc_embedding_store IN ROW EXCLUSIVE MODE")
        .expect("a lock");
    scene.cluster.execute("INSERT INTO a.doc VALUES (2, 'two')");
    let activity = "SELECT coalesce(string_agg(activity, ','), '') FROM ai.worker_status WHERE process = 'indexer'";
    wait_until(
        "the indexer",
        DEADLINE,
        || scene.cluster.value(activity),
        |activity| activity.contains("secret_project_x"),
    );
    by(&scene, "ann", "SELECT 1");
    for role in ["mallory", "victim"] {
        for relation in ["ai.worker_status", "ai._worker_processes()"] {
            scene.cluster.execute(&format!("SET ROLE {role}"));
            let told = format!("SELECT coalesce(string_agg(w::text, ','), '') FROM {relation} w");
            let told = scene.cluster.value(&told);
            scene.cluster.execute("RESET ROLE");
            assert!(!told.contains("secret_project_x"), "{role}: {told}");
        }
    }
    scene.cluster.execute("SET ROLE ann");
    let own = scene.cluster.value(activity);
    scene.cluster.execute("RESET ROLE");
    assert!(own.contains("secret_project_x"), "{own}");
    holder.batch_execute("COMMIT").expect("the end of the lock");
}

/// Until PostgreSQL 15 an empty table becomes a view by a rule. What was made of the tables of a vectorizer
/// is in nobody's way.
#[test]
fn a_table_that_has_become_a_view_keeps_nothing_from_being_dropped() {
    let scene = lair();
    if scene
        .cluster
        .value("SELECT current_setting('server_version_num')::int / 10000")
        != "15"
    {
        return;
    }
    let columns = "created_at, failure_step, failure_class, reason, attempts".split(", ");
    for (number, drop) in [
        "DROP TABLE m.doc CASCADE",
        "SELECT ai.drop_vectorizer('doc')",
        "SELECT ai.drop_vectorizer('doc', drop_all => true)",
        "DROP OWNED BY mallory CASCADE",
    ]
    .iter()
    .enumerate()
    {
        let failed = format!("m._vectorizer_q_failed_{}", number + 1);
        by(
            &scene,
            "mallory",
            "CREATE TABLE m.doc (id int PRIMARY KEY, body text);
             SELECT ai.create_vectorizer('m.doc', name => 'doc', queue_schema => 'm', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 4))",
        );
        let bare: Vec<String> = columns
            .clone()
            .map(|column| format!("ALTER {column} DROP DEFAULT, ALTER {column} DROP NOT NULL"))
            .collect();
        by(
            &scene,
            "mallory",
            &format!(
                "CREATE TABLE IF NOT EXISTS m.e (id int, created_at timestamptz, failure_step text, failure_class text,
                     reason text, attempts int);
                 ALTER TABLE {failed} DROP CONSTRAINT _vectorizer_q_failed_{}_pkey;
                 ALTER TABLE {failed} ALTER id DROP NOT NULL, {}",
                number + 1,
                bare.join(", ")
            ),
        );
        scene.cluster.execute(&format!("VACUUM {failed}"));
        by(
            &scene,
            "mallory",
            &format!("CREATE RULE \"_RETURN\" AS ON SELECT TO {failed} DO INSTEAD SELECT * FROM m.e"),
        );
        scene
            .cluster
            .execute("SELECT * FROM ai.worker_status; SELECT * FROM ai.vectorizer_failed");
        scene.cluster.execute(drop);
        assert_eq!(scene.cluster.value("SELECT count(*) FROM ai.vectorizer"), "0", "{drop}");
        if number < 3 {
            scene.cluster.execute(&format!(
                "DROP VIEW IF EXISTS {failed}; DROP TABLE IF EXISTS m.doc CASCADE; DROP TABLE IF EXISTS m.doc_embedding_store CASCADE"
            ));
        }
    }
}
