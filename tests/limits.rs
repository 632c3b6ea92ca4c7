//! What a provider asks for, and what an administrator allows, holds for the whole server: for each database,
//! and whatever becomes of the worker that was told.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::time::{Duration, Instant};

use notes::*;
use provider::Behaviour;
use support::{DEADLINE, Database, Options, Scene, wait_until};

/// Longer than a worker waits with a document in its hands, so that it leaves.
const LONG: Duration = Duration::from_secs(60);
/// Shorter than that, and twice as long as the launcher waits before it replaces a worker that was sent away.
const SHORT: Duration = Duration::from_secs(10);
/// What the queue says of a note that waits for the end of the long pause and has paid nothing for it.
const WAITS: &str = "lease, attempts, loading_retry_after - now() > interval '40 seconds'";
const WAITING: [&str; 3] = ["NULL", "0", "t"];

/// A worker that leaves as soon as it has nothing to do.
fn short_lived(options: Options) -> Options {
    options.setting("ai.idle_timeout", "100ms")
}

/// A provider that wants to be left alone from the next request on, which it refuses.
fn asks_for_patience(scene: &Scene, pause: Duration) {
    let refusal = Behaviour::TooManyRequests {
        retry_after: Some(pause),
    };
    scene.provider.behave_times(1, refusal);
}

#[test]
fn a_pause_outlives_the_worker_that_met_it() {
    let notes = Notes::start_with(short_lived);
    asks_for_patience(&notes, LONG);
    add(&notes.cluster, 1, "one");
    wait_for_queued(&notes.cluster, 1, WAITS, &WAITING);
    wait_for_no_worker(&notes.cluster);
    // A fresh row brings another worker, and the provider would answer it.
    add(&notes.cluster, 2, "two");
    wait_for_queued(&notes.cluster, 2, WAITS, &WAITING);
    wait_for_no_worker(&notes.cluster);
    assert_eq!(notes.provider.counts().requests, 1);
}

/// A provider may ask for a day by mistake. Whoever knows better need not wait for the hour that it is left alone.
#[test]
fn a_pause_ends_when_the_owner_of_a_vectorizer_says_so() {
    let a_day = Duration::from_secs(86_400);
    for (worker_stays, class) in [
        (true, ""),
        (false, ", class => 'throttled'"),
        (true, ", class => 'throttled'"),
    ] {
        let idle = if worker_stays { "1h" } else { "100ms" };
        let notes = Notes::start_with(|options| options.setting("ai.idle_timeout", idle));
        let other = notes.another_database("other");
        asks_for_patience(&notes, a_day);
        add(&notes.cluster, 1, "one");
        wait_for_queued(&notes.cluster, 1, WAITS, &WAITING);
        add(&notes.cluster, 2, "two");
        wait_for_queued(&notes.cluster, 2, WAITS, &WAITING);
        add(&other, 1, "eins");
        wait_for_queued(&other, 1, WAITS, &WAITING);
        if !worker_stays {
            wait_for_no_worker(&notes.cluster);
        }
        let retry = |database: &Database, class: &str| {
            database.value(&format!(
                "SELECT ai.retry_vectorizer('public_note_embedding_store'{class})"
            ))
        };
        // Neither has failed.
        assert_eq!(
            retry(&other, ", class => 'permanent', primary_key => '{\"id\": 9}'"),
            "0"
        );
        assert_eq!(retry(&notes.cluster, class), "2");
        wait_for_embedded(&notes.cluster, &["1:one", "2:two"]);
        assert_eq!(retry(&other, class), "1");
        wait_for_embedded(&other, &["1:eins"]);
        assert_eq!(errors(&notes.cluster), NONE);
    }
}

/// Documents wait for a short one in the worker's hands, which nobody can wake.
#[test]
fn a_short_pause_ends_for_documents_on_their_way() {
    let notes = Notes::start();
    asks_for_patience(&notes, Duration::from_secs(18));
    add(&notes.cluster, 1, "one");
    add(&notes.cluster, 2, "two");
    let refused = || notes.provider.counts().requests;
    wait_until("the provider has refused", DEADLINE, refused, |requests| *requests >= 1);
    wait_for_queued(&notes.cluster, 1, "lease IS NULL", &["f"]);
    let began = Instant::now();
    notes
        .cluster
        .execute("SELECT ai.retry_vectorizer('public_note_embedding_store')");
    wait_for_embedded(&notes.cluster, &["1:one", "2:two"]);
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
}

/// Documents that have failed are of other classes, and wait for their time.
#[test]
fn a_document_that_has_failed_was_not_throttled() {
    let notes = Notes::start_with(|options| options.setting("ai.idle_timeout", "1h"));
    notes.provider.behave(Behaviour::ServerError);
    add(&notes.cluster, 1, "one");
    wait_for_errors(&notes.cluster, &["1:embedding:transient:1"]);
    let later = "UPDATE ai._vectorizer_q_1 SET loading_retry_after = now() + interval '1 hour' WHERE lease IS NULL";
    notes.cluster.execute(later);
    let retry = "SELECT ai.retry_vectorizer('public_note_embedding_store', class => 'throttled')";
    assert_eq!(notes.cluster.value(retry), "0");
}

#[test]
fn a_pause_outlives_a_worker_that_is_sent_away() {
    let notes = Notes::start_with(|options| options.setting("ai.naptime", "1s"));
    asks_for_patience(&notes, SHORT);
    add(&notes.cluster, 1, "one");
    let throttled = |pid: i32| {
        let sql = format!(
            "SELECT count(*) FROM ai.worker_status WHERE pid = {pid} AND reason LIKE '%throttled for another %'"
        );
        notes.cluster.value(&sql)
    };
    let first = notes.cluster.wait_for_worker();
    wait_until(
        "it is told to wait",
        DEADLINE,
        || throttled(first),
        |count| count == "1",
    );
    notes
        .cluster
        .execute(&format!("SELECT pg_terminate_backend({first}, 10000)"));
    // The next one comes five seconds after one that was sent away.
    add(&notes.cluster, 2, "two");
    wait_for_embedded(&notes.cluster, &["1:one", "2:two"]);
    let seen = notes.provider.seen();
    let passed = seen[1].at - seen[0].at;
    assert!(passed >= SHORT, "asked again after {passed:?}");
    assert_eq!(errors(&notes.cluster), NONE);
}

#[test]
fn a_pause_is_that_of_all_databases_with_the_same_key() {
    let notes = Notes::start_with(|options| options.setting("ai.idle_timeout", "1h"));
    let other = notes.another_database("other");
    add(&other, 1, "eins");
    wait_for_embedded(&other, &["1:eins"]);
    asks_for_patience(&notes, LONG);
    add(&notes.cluster, 1, "one");
    wait_for_queued(&notes.cluster, 1, WAITS, &WAITING);
    assert_eq!(notes.provider.counts().requests, 2);
    // One whose worker has asked the provider before and is still there, and one whose worker comes now.
    let new = notes.another_database("new");
    for database in [&other, &new] {
        add(database, 2, "zwei");
        wait_for_queued(database, 2, WAITS, &WAITING);
    }
    assert_eq!(notes.provider.counts().requests, 2);
}

/// Notes behind a foreign server that allows so many requests in a minute.
fn create_limited(database: &Database, scene: &Scene, requests: u32) {
    database.execute(&format!(
        "CREATE SERVER own TYPE 'openai' FOREIGN DATA WRAPPER ai_provider
             OPTIONS (base_url '{}', api_key 'env:OPENAI_API_KEY', requests_per_minute '{requests}')",
        scene.provider.base_url()
    ));
    create_memos(
        database,
        "ai.embedding_openai('text-embedding-3-small', 8, server => 'own')",
    );
}

#[track_caller]
fn wait_for_memos(database: &Database, number: usize) {
    let count = "SELECT count(*) FROM memo_embedding_store";
    database.wait_for("memos are embedded", count, &number.to_string());
}

/// Waits until the worker of the database says that it may not ask.
#[track_caller]
fn wait_for_limit(database: &Database) {
    let sql =
        "SELECT coalesce(string_agg(w.reason, ' '), '') FROM ai.worker_status w JOIN pg_stat_activity a USING (pid)
               WHERE a.datname = current_database()";
    let reason = || database.value(sql);
    wait_until("it says why it waits", DEADLINE, reason, |reason| {
        reason.contains("requests_per_minute")
    });
}

/// Of two in a minute one may go at once, and the next is due in a minute, which nobody waits for here.
#[test]
fn what_is_spent_of_a_minute_outlives_the_worker_and_is_that_of_all_databases() {
    let scene = Scene::start_with(short_lived);
    create_limited(&scene.cluster, &scene, 2);
    scene.cluster.execute("INSERT INTO memo VALUES (1, 'one')");
    wait_for_memos(&scene.cluster, 1);
    wait_for_no_worker(&scene.cluster);
    scene.cluster.execute("INSERT INTO memo VALUES (2, 'two')");
    wait_for_limit(&scene.cluster);
    scene.cluster.execute("CREATE DATABASE other");
    let other = scene.cluster.database("other");
    other.execute("CREATE EXTENSION ai CASCADE");
    create_limited(&other, &scene, 2);
    other.execute("INSERT INTO memo VALUES (1, 'eins')");
    wait_for_limit(&other);
    assert_eq!(scene.provider.counts().requests, 1);
    // What is allowed anew has been spent by nobody.
    other.execute("ALTER SERVER own OPTIONS (SET requests_per_minute '600')");
    other.execute("INSERT INTO memo VALUES (2, 'zwei')");
    let second = "SELECT count(*) FROM memo_embedding_store WHERE id = 2";
    other.wait_for("it is embedded", second, "1");
    assert_eq!(scene.provider.counts().requests, 2);
}
