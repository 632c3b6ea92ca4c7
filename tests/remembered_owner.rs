//! A vectorizer works for one role. Where its source got another owner unseen, it stands still, and nothing
//! that the role before has put on its tables runs as the new one.

mod support;

use std::process::Command;

use support::lair::{assert_only_mallory, by, lair, vectorize};
use support::{DEADLINE, Database, Scene, wait_until};

const REASON: &str = "SELECT coalesce(string_agg(reason, ','), '') FROM ai.worker_status WHERE vectorizer = 'doc'";
const CHUNKS: &str = "SELECT string_agg(chunk, ',' ORDER BY id) FROM m.doc_embedding";
const TRAPPED: [&str; 3] = [
    "ai._vectorizer_q_1",
    "ai._vectorizer_q_failed_1",
    "m.doc_embedding_store",
];

/// Mallory's vectorizer, at rest, with traps on all that its owner writes to but the intake.
fn trapped() -> Scene {
    let scene = lair();
    vectorize(&scene, "mallory", "m", "doc");
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (1, 'one'), (2, 'two')");
    scene.cluster.wait_for("it works for mallory", CHUNKS, "one,two");
    scene.cluster.wait_until_settled();
    for table in TRAPPED {
        by(&scene, "mallory", &trap(table));
    }
    scene
}

fn trap(table: &str) -> String {
    format!(
        "CREATE TRIGGER trap BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION m.spring('{table}')"
    )
}

fn wait_for_standstill(database: &Database, owner: &str) {
    let says = format!("its source belongs to {owner} now, and the vectorizer works for mallory");
    wait_until(
        "it says why it stands still",
        DEADLINE,
        || database.value(REASON),
        |reason| reason.contains(&says),
    );
    let hint = "SELECT hint FROM ai._vectorizer_state";
    assert!(database.value(hint).contains("call ai.enable_vectorizer_schedule as"));
}

/// Whatever would act as the owner refuses to.
fn all_doors_are_shut(database: &Database, owner: &str) {
    let says = format!("its source belongs to {owner} now");
    for sql in [
        "SELECT ai.execute_vectorizer('doc')",
        "SELECT * FROM ai.verify_vectorizer('doc', repair => true)",
        "SELECT ai.retry_vectorizer('doc')",
        "SELECT ai.vectorizer_embed('doc', 'text')",
    ] {
        let (code, message) = database.refusal(sql);
        assert_eq!(code, "55000", "{sql}: {message}");
        assert!(message.contains(&says), "{sql}: {message}");
    }
}

fn look_and_accept(database: &Database) {
    for table in TRAPPED {
        database.execute(&format!("DROP TRIGGER trap ON {table}"));
    }
    database.execute("SELECT ai.enable_vectorizer_schedule('doc')");
}

#[test]
fn reassigned_tables_are_not_worked_on_until_their_owner_says_so() {
    let scene = trapped();
    let database = &scene.cluster;
    database.execute("REASSIGN OWNED BY mallory TO postgres");
    // What is written meanwhile waits.
    database.execute("INSERT INTO m.doc VALUES (3, 'three')");
    database.execute("UPDATE m.doc SET body = 'EINS' WHERE id = 1");
    wait_for_standstill(database, "postgres");
    all_doors_are_shut(database, "postgres");
    // What is altered meanwhile accepts nothing.
    database.execute("ALTER TABLE m.doc ADD COLUMN more text");
    wait_for_standstill(database, "postgres");
    assert_only_mallory(&scene, "REASSIGN OWNED");
    assert_eq!(database.value(CHUNKS), "one,two");
    look_and_accept(database);
    database.wait_for("it works for its new owner", CHUNKS, "EINS,two,three");
    database.wait_for("nothing is in the way", REASON, "");
    assert_only_mallory(&scene, "its new owner has looked");
}

/// Nobody was told that it changed hands, and to start it says nothing about its tables.
#[test]
fn a_vectorizer_that_was_disabled_when_it_changed_hands_is_accepted_by_a_second_call() {
    let scene = trapped();
    let database = &scene.cluster;
    database.execute("SELECT ai.disable_vectorizer_schedule('doc')");
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (3, 'three')");
    database.execute("REASSIGN OWNED BY mallory TO postgres");
    let reason = database.value(REASON);
    assert!(
        reason.starts_with("the vectorizer is disabled; its source belongs to postgres now"),
        "{reason}"
    );
    let script = database.data().join("enable.sql");
    std::fs::write(&script, "SELECT ai.enable_vectorizer_schedule('doc');").expect("a folder that can be written to");
    let (_, said) = database.psql("postgres", &script);
    assert!(
        said.contains("WARNING:  vectorizer 1 stands still until ai.enable_vectorizer_schedule is called once more"),
        "{said}"
    );
    wait_for_standstill(database, "postgres");
    all_doors_are_shut(database, "postgres");
    assert_only_mallory(&scene, "it was started");
    assert_eq!(database.value(CHUNKS), "one,two");
    look_and_accept(database);
    database.wait_for("it works for its new owner", CHUNKS, "one,two,three");
    assert_only_mallory(&scene, "its new owner has looked");
}

/// Tools that replicate DDL work like this, and event triggers are silent.
#[test]
fn a_session_without_event_triggers_hands_nothing_over() {
    let scene = trapped();
    let database = &scene.cluster;
    database.execute("GRANT ALL ON SCHEMA m TO ann");
    for table in [
        "m.doc",
        "ai._vectorizer_q_1",
        "ai._vectorizer_q_failed_1",
        "ai._vectorizer_intake_1",
        "m.doc_embedding_store",
    ] {
        database.execute(&format!(
            "SET session_replication_role = replica; ALTER TABLE {table} OWNER TO ann"
        ));
    }
    database.execute("SET session_replication_role = origin");
    by(&scene, "ann", "INSERT INTO m.doc VALUES (3, 'three')");
    wait_for_standstill(database, "ann");
    assert_only_mallory(&scene, "session_replication_role");
    look_and_accept(database);
    database.execute("ALTER FUNCTION ai._vectorizer_src_trg_1() OWNER TO ann; ALTER VIEW m.doc_embedding OWNER TO ann");
    database.wait_for("it works for ann", CHUNKS, "one,two,three");
    assert_eq!(database.value("SELECT owner FROM ai._vectorizer"), "ann");
    assert_only_mallory(&scene, "ann has looked");
}

/// The trigger by row appends to an intake past the executor, where nothing is on it, and to no other in the
/// name of a stranger.
#[test]
fn a_trap_on_the_intake_is_not_sprung_by_those_who_write() {
    let scene = trapped();
    let database = &scene.cluster;
    by(&scene, "mallory", &trap("ai._vectorizer_intake_1"));
    database.execute("REASSIGN OWNED BY mallory TO postgres");
    database.execute("GRANT ALL ON m.doc TO ann");
    by(
        &scene,
        "ann",
        "INSERT INTO m.doc VALUES (3, 'three'); UPDATE m.doc SET body = 'EINS' WHERE id = 1",
    );
    by(&scene, "ann", "UPDATE m.doc SET id = 20 WHERE id = 2");
    database.execute("INSERT INTO m.doc VALUES (4, 'four')");
    assert_only_mallory(&scene, "writes to the source");
    database.execute("DROP TRIGGER trap ON ai._vectorizer_intake_1");
    look_and_accept(database);
    database.execute("SELECT * FROM ai.verify_vectorizer('doc', repair => true)");
    database.wait_for("nothing is lost", CHUNKS, "EINS,three,four,two");
    assert_only_mallory(&scene, "the repair");
}

#[test]
fn an_owner_that_is_renamed_is_followed_and_a_new_one_of_its_name_is_another() {
    let scene = lair();
    let database = &scene.cluster;
    vectorize(&scene, "mallory", "m", "doc");
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (1, 'one')");
    database.wait_for("it works for mallory", CHUNKS, "one");
    database.execute("ALTER ROLE mallory RENAME TO molly; CREATE ROLE mallory");
    database.execute("INSERT INTO m.doc VALUES (2, 'two')");
    database.wait_for("it works for molly", CHUNKS, "one,two");
    database.execute("ALTER TABLE m.doc ADD COLUMN more text");
    database.wait_for("the name is followed", "SELECT owner FROM ai._vectorizer", "molly");
    database.execute("REASSIGN OWNED BY molly TO mallory; INSERT INTO m.doc VALUES (3, 'three')");
    let says = "its source belongs to mallory now, and the vectorizer works for molly";
    wait_until(
        "it stands still",
        DEADLINE,
        || database.value(REASON),
        |reason| reason.contains(says),
    );
}

#[test]
fn tables_that_change_hands_with_their_source_are_worked_on_at_once() {
    let scene = lair();
    let database = &scene.cluster;
    vectorize(&scene, "mallory", "m", "doc");
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (1, 'one')");
    database.wait_for("it works for mallory", CHUNKS, "one");
    database.execute("GRANT ALL ON SCHEMA m TO ann; ALTER TABLE m.doc OWNER TO ann");
    by(&scene, "ann", "INSERT INTO m.doc VALUES (2, 'two')");
    database.wait_for("it works for ann", CHUNKS, "one,two");
    assert_eq!(database.value("SELECT owner FROM ai._vectorizer"), "ann");
    assert_eq!(database.value(REASON), "");
}

/// Partitions that come while a vectorizer stands still are enqueued when it is accepted.
#[test]
fn partitions_are_caught_up_with() {
    let scene = lair();
    let database = &scene.cluster;
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.doc (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
         CREATE TABLE m.low PARTITION OF m.doc FOR VALUES FROM (0) TO (10);
         SELECT ai.create_vectorizer('m.doc', name => 'doc', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         INSERT INTO m.doc VALUES (1, 'one')",
    );
    database.wait_for("it works for mallory", CHUNKS, "one");
    by(&scene, "mallory", &trap("ai._vectorizer_intake_1"));
    by(&scene, "mallory", &trap("m.doc_embedding_store"));
    database.execute("REASSIGN OWNED BY mallory TO postgres");
    database.execute("CREATE TABLE m.high (id int PRIMARY KEY, body text); INSERT INTO m.high VALUES (12, 'twelve')");
    database.execute("ALTER TABLE m.doc ATTACH PARTITION m.high FOR VALUES FROM (10) TO (20)");
    database.execute("ALTER TABLE m.doc DETACH PARTITION m.low");
    assert_only_mallory(&scene, "partitions that come and go");
    database.execute("DROP TRIGGER trap ON ai._vectorizer_intake_1; DROP TRIGGER trap ON m.doc_embedding_store");
    database.execute("SELECT ai.enable_vectorizer_schedule('doc')");
    database.wait_for("they are caught up with", CHUNKS, "twelve");
    assert_only_mallory(&scene, "they are caught up with");
}

fn run(mut command: Command) {
    let output = command.output().expect("the program starts");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Dumps the traps, takes mallory away, and restores them with these arguments into the database `new`.
fn restored(scene: &Scene, arguments: &[&str]) -> Database {
    let cluster = &scene.cluster;
    let archive = cluster.data().join("old.dump");
    let archive = archive.to_str().expect("temporary folders have plain names");
    // Something is left to do.
    by(
        scene,
        "mallory",
        "SELECT ai.disable_vectorizer_schedule('doc'); INSERT INTO m.doc VALUES (3, 'three')",
    );
    by(
        scene,
        "mallory",
        "SELECT ai._take_in(1); UPDATE ai._vectorizer_q_1 SET loading_retry_after = now()",
    );
    cluster.execute("UPDATE ai._vectorizer SET disabled = false");
    let mut dump = cluster.client_program("pg_dump");
    dump.args(["-U", "postgres", "-d", "postgres", "-Fc", "-f", archive]);
    run(dump);
    cluster.execute("CREATE DATABASE new");
    let mut restore = cluster.client_program("pg_restore");
    restore
        .args(["-U", "postgres", "-d", "new"])
        .args(arguments)
        .arg(archive);
    run(restore);
    cluster.database("new")
}

#[test]
fn a_restore_without_owners_is_not_worked_on_until_its_owner_says_so() {
    let scene = trapped();
    let new = restored(&scene, &["--no-owner"]);
    wait_for_standstill(&new, "postgres");
    all_doors_are_shut(&new, "postgres");
    let struck = "SELECT count(*) FROM m.struck WHERE who <> 'mallory'";
    assert_eq!(new.value(struck), "0");
    look_and_accept(&new);
    new.wait_for("it works for its new owner", CHUNKS, "one,two,three");
    assert_eq!(new.value(struck), "0");
    assert_only_mallory(&scene, "pg_restore --no-owner");
}

/// In another cluster the numbers of roles are others, and names hold.
#[test]
fn a_restore_with_owners_is_worked_on_at_once() {
    let scene = trapped();
    // As if it came from another cluster, where another role had that number.
    scene
        .cluster
        .execute("UPDATE ai._vectorizer SET owner_place = '1/' || 'ann'::regrole::oid");
    let new = restored(&scene, &[]);
    new.wait_for("it works for mallory", CHUNKS, "one,two,three");
    assert_eq!(new.value("SELECT owner FROM ai._vectorizer"), "mallory");
    let place =
        "SELECT owner_place = (SELECT system_identifier FROM pg_control_system()) || '/' || 'mallory'::regrole::oid
                 FROM ai._vectorizer";
    new.wait_for("the number is that of here", place, "t");
}
