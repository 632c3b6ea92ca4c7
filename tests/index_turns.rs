//! Indexes of several owners: one is built at a time, and a lock of one owner keeps no other's from being built.

mod support;

use postgres::Client;
use support::Scene;
use support::lair::{LAIR, by};

fn scene() -> Scene {
    let scene = Scene::start_with(|options| options.setting("ai.naptime", "1s"));
    scene.cluster.execute(LAIR);
    scene
}

fn vectorize(scene: &Scene, role: &str, schema: &str, name: &str) {
    by(
        scene,
        role,
        &format!(
            "CREATE TABLE {schema}.{name} (id int PRIMARY KEY, body text);
             SELECT ai.create_vectorizer('{schema}.{name}', name => '{name}', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 4),
                 indexing => ai.indexing_hnsw(min_rows => 1))"
        ),
    );
}

/// A transaction of mallory's that is left open with a lock that a build waits for.
fn lock(scene: &Scene, table: &str) -> Client {
    let mut session = scene.cluster.connect().expect("a session");
    session
        .batch_execute(&format!(
            "SET SESSION AUTHORIZATION mallory; BEGIN; LOCK TABLE m.{table}_embedding_store IN ROW EXCLUSIVE MODE"
        ))
        .expect("the lock is hers");
    session
}

fn add(scene: &Scene, role: &str, table: &str) {
    by(
        scene,
        role,
        &format!("INSERT INTO {table} VALUES (1, 'one'), (2, 'two')"),
    );
}

const VALID: &str = "SELECT coalesce(bool_or(i.indisvalid), false) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname =";

fn wait_for_index(scene: &Scene, id: u32) {
    let index = format!("{VALID} '_vectorizer_idx_{id}'");
    scene.cluster.wait_for(&format!("index {id}"), &index, "t");
}

fn wait_until_locked(scene: &Scene) {
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ai indexer' AND wait_event_type = 'Lock'";
    scene.cluster.wait_for("a build waits", waits, "1");
}

#[test]
fn a_lock_of_one_owner_keeps_no_other_from_an_index() {
    let scene = scene();
    vectorize(&scene, "mallory", "m", "mix");
    vectorize(&scene, "ann", "a", "honest");
    let held = lock(&scene, "mix");
    add(&scene, "mallory", "m.mix");
    wait_until_locked(&scene);
    add(&scene, "ann", "a.honest");
    wait_for_index(&scene, 2);
    // Hers is built when its time has come.
    drop(held);
    scene.cluster.reload();
    wait_for_index(&scene, 1);
}

/// However many of them there are: owners take turns, and not vectorizers.
#[test]
fn many_locks_of_one_owner_keep_no_other_from_an_index() {
    let scene = scene();
    let tables = ["m1", "m2", "m3", "m4", "m5", "m6"];
    let mut held = Vec::new();
    for table in tables {
        vectorize(&scene, "mallory", "m", table);
        held.push(lock(&scene, table));
        add(&scene, "mallory", &format!("m.{table}"));
    }
    wait_until_locked(&scene);
    vectorize(&scene, "ann", "a", "honest");
    add(&scene, "ann", "a.honest");
    wait_for_index(&scene, 7);
    assert_eq!(scene.cluster.column("SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indisvalid AND c.relname LIKE '_vectorizer_idx_%'"), ["1"]);
}

/// Where nobody else has one to build, a build waits for as long as it has to.
#[test]
fn a_build_that_nobody_waits_for_waits_for_its_locks() {
    let scene = scene();
    vectorize(&scene, "mallory", "m", "mix");
    vectorize(&scene, "ann", "a", "honest");
    add(&scene, "ann", "a.honest");
    wait_for_index(&scene, 2);
    let mut held = lock(&scene, "mix");
    add(&scene, "mallory", "m.mix");
    wait_until_locked(&scene);
    let indexer = scene
        .cluster
        .value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'ai indexer'");
    // Twice as long as it would be allowed otherwise.
    std::thread::sleep(std::time::Duration::from_secs(10));
    assert_eq!(
        scene
            .cluster
            .value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'ai indexer'"),
        indexer
    );
    held.batch_execute("ROLLBACK").expect("it ends");
    wait_for_index(&scene, 1);
}
