//! What was prepared for two-phase commit is committed by anybody, at any time, and the worker hears of it.

mod support;

use support::{Cluster, DEADLINE, Scene, Stop, wait_until};

/// With a look at the queues so rare that it finds nothing here.
fn scene(idle_timeout: &str) -> Scene {
    Scene::start_with(|options| {
        options
            .setting("max_prepared_transactions", "20")
            .setting("ai.naptime", "1h")
            .setting("ai.idle_timeout", idle_timeout)
    })
}

fn create(cluster: &Cluster) -> &'static str {
    cluster.execute("CREATE TABLE doc (id int PRIMARY KEY, body text); INSERT INTO doc VALUES (1, 'one')");
    "SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'),
         embedding => ai.embedding_openai('text-embedding-3-small', 4))"
}

fn prepare(cluster: &Cluster, name: &str, sql: &str) {
    cluster.execute("BEGIN");
    cluster.execute(sql);
    cluster.execute(&format!("PREPARE TRANSACTION '{name}'"));
}

fn wait_for_no_worker(cluster: &Cluster) {
    let workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ai worker'";
    cluster.wait_for("the worker has left", workers, "0");
}

const CHUNKS: &str = "SELECT string_agg(chunk, ',' ORDER BY id) FROM doc_embedding";

#[test]
fn a_prepared_vectorizer_works_once_it_is_committed() {
    let scene = scene("100ms");
    let cluster = &scene.cluster;
    let create = create(cluster);
    wait_for_no_worker(cluster);
    prepare(cluster, "made", create);
    wait_for_no_worker(cluster);
    cluster.execute("COMMIT PREPARED 'made'");
    cluster.wait_for("the row is embedded", CHUNKS, "one");
}

#[test]
fn a_prepared_write_is_embedded_once_it_is_committed_by_another_session() {
    let scene = scene("100ms");
    let cluster = &scene.cluster;
    cluster.execute(create(cluster));
    cluster.wait_for("the row is embedded", CHUNKS, "one");
    prepare(cluster, "two", "INSERT INTO doc VALUES (2, 'two')");
    prepare(cluster, "three", "INSERT INTO doc VALUES (3, 'three')");
    prepare(cluster, "four", "INSERT INTO doc VALUES (4, 'four')");
    wait_for_no_worker(cluster);
    cluster.disconnect();
    cluster.execute("COMMIT PREPARED 'two'");
    cluster.wait_for("the second is embedded", CHUNKS, "one,two");
    cluster.execute("ROLLBACK PREPARED 'three'");
    wait_for_no_worker(cluster);
    cluster.execute("COMMIT PREPARED 'four'");
    cluster.wait_for("the fourth is embedded", CHUNKS, "one,two,four");
}

/// A worker that never leaves has to be told, too.
#[test]
fn a_prepared_write_is_heard_of_by_a_worker_that_is_there() {
    let scene = scene("1h");
    let cluster = &scene.cluster;
    cluster.execute(create(cluster));
    cluster.wait_for("the row is embedded", CHUNKS, "one");
    prepare(cluster, "two", "INSERT INTO doc VALUES (2, 'two')");
    cluster.execute("COMMIT PREPARED 'two'");
    cluster.wait_for("the second is embedded", CHUNKS, "one,two");
}

#[test]
fn what_was_prepared_before_a_crash_is_heard_of_after_it() {
    let mut scene = Scene::start_with(|options| {
        options
            .setting("max_prepared_transactions", "20")
            .setting("ai.naptime", "1h")
            // Says of each process when it has gone: the one that looks around here is there for a moment.
            .setting("log_min_messages", "debug1")
    });
    let create = create(&scene.cluster);
    prepare(&scene.cluster, "made", create);
    scene.cluster.stop(Stop::Immediate);
    let gone = |cluster: &Cluster| cluster.log().matches(r#"background worker "ai worker" (PID"#).count();
    let before = gone(&scene.cluster);
    scene.cluster.start_again();
    let cluster = &scene.cluster;
    wait_until(
        "a worker has come and gone",
        DEADLINE,
        || gone(cluster),
        |gone| *gone > before,
    );
    cluster.execute("COMMIT PREPARED 'made'");
    cluster.wait_for("the row is embedded", CHUNKS, "one");
}

#[test]
fn a_prepared_drop_ends_its_vectorizer_and_a_prepared_change_is_followed() {
    let scene = scene("100ms");
    let cluster = &scene.cluster;
    cluster.execute(create(cluster));
    cluster.wait_for("the row is embedded", CHUNKS, "one");
    cluster.execute("SELECT ai.disable_vectorizer_schedule('doc')");
    cluster.execute("INSERT INTO doc VALUES (2, 'two')");
    wait_for_no_worker(cluster);
    prepare(cluster, "enabled", "SELECT ai.enable_vectorizer_schedule('doc')");
    wait_for_no_worker(cluster);
    cluster.execute("COMMIT PREPARED 'enabled'");
    cluster.wait_for("the second is embedded", CHUNKS, "one,two");
    prepare(cluster, "dropped", "SELECT ai.drop_vectorizer('doc')");
    cluster.execute("COMMIT PREPARED 'dropped'");
    cluster.execute("INSERT INTO doc VALUES (3, 'three')");
    let left = "SELECT count(*) FROM ai.vectorizer";
    cluster.wait_for("the vectorizer is gone", left, "0");
    wait_for_no_worker(cluster);
    assert_eq!(cluster.value(CHUNKS), "one,two");
}
