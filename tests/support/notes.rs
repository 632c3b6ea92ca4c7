//! The smallest vectorizer: a table of notes whose texts are the documents, one chunk each.

// Each file of tests/ is a program that compiles all of this and uses a part.
#![allow(dead_code)]

use std::ops::Deref;

use rustix::process::Signal;

use crate::support::{Cluster, DEADLINE, Database, Options, Scene, process, wait_until};

/// How the vectorizer of the notes embeds; short vectors, because nobody looks at them.
pub const EMBEDDING: &str = "ai.embedding_openai('text-embedding-3-small', 8)";

/// A scene with a table `note (id, body)` and a vectorizer over it, the first of its database.
pub struct Notes(pub Scene);

impl Deref for Notes {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.0
    }
}

impl Notes {
    /// Waits until so many texts have been with the provider.
    #[track_caller]
    pub fn wait_for_texts(&self, number: usize) {
        let texts = || {
            self.provider
                .seen()
                .iter()
                .map(|request| request.texts.len())
                .sum::<usize>()
        };
        wait_until("all are with the provider", DEADLINE, texts, |texts| *texts == number);
    }

    /// With the usual settings and six retries.
    pub fn start() -> Notes {
        Notes::start_with(|options| options)
    }

    /// With what `change` makes of the usual settings.
    pub fn start_with(change: impl FnOnce(Options) -> Options) -> Notes {
        let scene = Scene::start_with(change);
        create_notes(&scene.cluster, 6);
        Notes(scene)
    }

    /// With another number of retries.
    pub fn start_with_retries(retries: u32) -> Notes {
        let scene = Scene::start();
        create_notes(&scene.cluster, retries);
        Notes(scene)
    }

    /// Waits until so many requests are with the provider, or more: the next may follow in milliseconds.
    #[track_caller]
    pub fn wait_for_requests_in_flight(&self, number: u64) {
        let in_flight = || self.provider.counts().in_flight;
        wait_until("requests are with the provider", DEADLINE, in_flight, |now| {
            *now >= number
        });
    }

    /// Waits until no request is with the provider.
    #[track_caller]
    pub fn wait_for_no_request(&self) {
        let in_flight = || self.provider.counts().in_flight;
        wait_until("no request is with the provider", DEADLINE, in_flight, |now| *now == 0);
    }

    /// Another database with the extension and notes of its own.
    pub fn another_database(&self, name: &str) -> Database {
        self.cluster.execute(&format!("CREATE DATABASE \"{name}\""));
        let database = self.cluster.database(name);
        database.execute("CREATE EXTENSION ai CASCADE");
        create_notes(&database, 6);
        database
    }
}

/// The table and its vectorizer.
pub fn create_notes(database: &Database, retries: u32) {
    database.execute("CREATE TABLE note (id int PRIMARY KEY, body text)");
    database.execute(&format!(
        "SELECT ai.create_vectorizer(
             'note'::regclass,
             loading => ai.loading_column('body', retries => {retries}),
             chunking => ai.chunking_none(),
             embedding => {EMBEDDING}
         )"
    ));
}

/// Adds a note.
#[track_caller]
pub fn add(database: &Database, id: u32, body: &str) {
    database.execute(&format!("INSERT INTO note VALUES ({id}, '{body}')"));
}

/// The notes that are embedded, as `id:chunk`.
#[track_caller]
pub fn embedded(database: &Database) -> Vec<String> {
    database.column("SELECT id || ':' || chunk FROM note_embedding_store ORDER BY id, chunk_seq")
}

/// Waits until these are embedded, as `id:chunk`, and the queue is empty.
#[track_caller]
pub fn wait_for_embedded(database: &Database, expected: &[&str]) {
    wait_until(
        "the notes are embedded",
        DEADLINE,
        || embedded(database),
        |seen| seen == expected,
    );
    database.wait_until_settled();
}

/// What the queue knows of a note; `None` when it is not in it.
#[track_caller]
pub fn queued(database: &Database, id: u32, columns: &str) -> Option<Vec<String>> {
    // What has just changed is on its way there.
    database.execute("SELECT ai._take_in(1)");
    let mut rows = database.rows(&format!("SELECT {columns} FROM ai._vectorizer_q_1 WHERE id = {id}"));
    rows.pop()
}

/// Waits until the queue says this of a note.
#[track_caller]
pub fn wait_for_queued(database: &Database, id: u32, columns: &str, expected: &[&str]) {
    let look = || queued(database, id, columns);
    wait_until(&format!("{columns} of note {id}"), DEADLINE, look, |seen| {
        seen.as_ref().is_some_and(|seen| seen == expected)
    });
}

/// The failed queue, as `id:class`.
#[track_caller]
pub fn failed(database: &Database) -> Vec<String> {
    database.column("SELECT id || ':' || failure_class FROM ai._vectorizer_q_failed_1 ORDER BY id")
}

/// The error rows: `primary key:step:class:occurrences`; `all` in place of a key concerns the vectorizer.
#[track_caller]
pub fn errors(database: &Database) -> Vec<String> {
    database.column(
        "SELECT concat_ws(':', coalesce(primary_key ->> 'id', 'all'), step, failure_class, occurrences)
         FROM ai.vectorizer_errors ORDER BY 1",
    )
}

/// Waits until no worker serves the database.
#[track_caller]
pub fn wait_for_no_worker(database: &Database) {
    wait_until("the worker has left", DEADLINE, || database.worker(), Option::is_none);
}

/// The process of the launcher.
pub fn launcher(cluster: &Cluster) -> Option<i32> {
    let pids = cluster.column("SELECT pid FROM pg_stat_activity WHERE backend_type = 'ai launcher'");
    pids.first().and_then(|pid| pid.parse().ok())
}

/// Kills a process as the OOM killer would, and waits until the server has recovered from that.
#[track_caller]
pub fn kill(cluster: &Cluster, pid: i32) {
    let starts = || {
        cluster
            .log()
            .matches("database system is ready to accept connections")
            .count()
    };
    let before = starts();
    process::signal(pid, Signal::KILL);
    wait_until("the server has recovered", DEADLINE, starts, |now| *now > before);
    cluster.disconnect();
    let answers = || cluster.try_rows("SELECT 1").is_ok();
    wait_until("the server takes connections", DEADLINE, answers, |answers| *answers);
}

/// Lines of the log that hold a text.
pub fn lines(cluster: &Cluster, text: &str) -> usize {
    cluster.log().lines().filter(|line| line.contains(text)).count()
}

/// What keeps the launcher or the worker of a database from working.
pub fn reason(cluster: &Cluster, process: &str) -> String {
    let sql = format!("SELECT string_agg(reason, '; ') FROM ai.worker_status WHERE process = '{process}'");
    cluster.value(&sql)
}

#[track_caller]
pub fn wait_for_reason(cluster: &Cluster, process: &str, part: &str) {
    wait_until(
        &format!("the {process} gives a reason with: {part}"),
        DEADLINE,
        || reason(cluster, process),
        |reason| reason.contains(part),
    );
}

pub const NONE: [&str; 0] = [];

#[track_caller]
pub fn wait_for_errors(database: &Database, expected: &[&str]) {
    wait_until(
        "the error rows",
        DEADLINE,
        || errors(database),
        |errors| errors == expected,
    );
}

/// Waits until these have failed for good, as [`failed`] says them.
#[track_caller]
pub fn wait_for_failed(database: &Database, expected: &[&str]) {
    wait_until(
        "the failed queue",
        DEADLINE,
        || failed(database),
        |failed| failed == expected,
    );
}

/// Waits until the worker has nothing in flight.
#[track_caller]
pub fn wait_for_landing(database: &Database) {
    let flying = "SELECT coalesce(sum(in_flight), 0) FROM ai.worker_status WHERE process = 'worker'";
    database.wait_for("nothing is in flight", flying, "0");
}

/// Notes 1 to `number`, at once.
#[track_caller]
pub fn add_many(database: &Database, number: u32) {
    database.execute(&format!(
        "INSERT INTO note SELECT i, 'note ' || i FROM generate_series(1, {number}) i"
    ));
}

/// Another vectorizer in the same database, over a table of its own.
pub fn create_memos(database: &Database, embedding: &str) {
    database.execute("CREATE TABLE memo (id int PRIMARY KEY, body text)");
    database.execute(&format!(
        "SELECT ai.create_vectorizer('memo'::regclass, loading => ai.loading_column('body'), chunking => ai.chunking_none(),
                                     embedding => {embedding})"
    ));
}

/// What is in the way of the vectorizer of the notes.
pub fn obstacle(database: &Database) -> String {
    database.value("SELECT reason FROM ai.worker_status WHERE process = 'vectorizer' AND vectorizer LIKE '%note%'")
}

/// What is wrong with the embeddings of a vectorizer.
#[track_caller]
pub fn verified(database: &Database, name: &str) -> Vec<Vec<String>> {
    database.rows(&format!(
        "SELECT primary_key, problem, detail FROM ai.verify_vectorizer('{name}')"
    ))
}

/// A first note, and then a worker that has left: from here on, whoever starts one has a reason of its own.
#[track_caller]
pub fn idle(database: &Database) {
    add(database, 0, "first");
    wait_for_embedded(database, &["0:first"]);
    wait_for_no_worker(database);
}
