//! Databases take turns: one that always has something to do makes room for others, and none waits for long
//! for a process that is free.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use notes::*;
use provider::Behaviour;
use support::{DEADLINE, Database, Options, wait_until};

fn one_worker(options: Options) -> Options {
    options
        .setting("ai.max_workers", "1")
        .setting("ai.idle_timeout", "500ms")
}

fn there(database: &Database) -> u32 {
    database
        .value("SELECT count(*) FROM note_embedding_store")
        .parse()
        .unwrap()
}

/// Rows that come in as long as this lives: a database that is never idle.
struct Feed(Arc<AtomicBool>);

impl Feed {
    fn start(database: &Database) -> Feed {
        let is_over = Arc::new(AtomicBool::new(false));
        let (seen, mut session) = (Arc::clone(&is_over), database.connect().unwrap());
        std::thread::spawn(move || {
            for id in 1000.. {
                if seen.load(Ordering::Acquire) {
                    return;
                }
                let insert = format!("INSERT INTO note VALUES ({id}, 'note {id}')");
                session.batch_execute(&insert).unwrap();
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Feed(is_over)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A lock that is met again and again, and documents that come again and again.
#[test]
fn a_busy_database_makes_room_for_one_that_waits() {
    let notes = Notes::start_with(one_worker);
    let other = notes.another_database("other");
    idle(&other);
    let mut session = notes.cluster.connect().unwrap();
    session
        .batch_execute("BEGIN; LOCK TABLE ai._vectorizer_q_1 IN ACCESS EXCLUSIVE MODE")
        .unwrap();
    add(&notes.cluster, 1, "one");
    notes.cluster.wait_for_worker();
    add(&other, 1, "eins");
    wait_for_embedded(&other, &["0:first", "1:eins"]);
    drop(session);
    wait_for_embedded(&notes.cluster, &["1:one"]);
}

#[test]
fn two_busy_databases_take_turns() {
    let notes = Notes::start_with(one_worker);
    let other = notes.another_database("other");
    idle(&other);
    let mut feeds = vec![Feed::start(&notes.cluster)];
    wait_until(
        "the first is served",
        DEADLINE,
        || there(&notes.cluster),
        |now| *now > 5,
    );
    feeds.push(Feed::start(&other));
    for round in 0..2 {
        for database in [&other, &*notes.cluster] {
            let before = there(database);
            let what = format!("round {round}");
            wait_until(&what, DEADLINE, || there(database), |now| *now > before + 5);
        }
    }
    drop(feeds);
    notes.cluster.wait_until_settled();
    other.wait_until_settled();
    assert_eq!(errors(&notes.cluster), [""; 0]);
    assert_eq!(errors(&other), [""; 0]);
}

/// Postgres' own launcher of logical replication takes one of the processes, ours another.
#[test]
fn a_missing_process_is_no_fault_of_a_worker() {
    let notes = Notes::start_with(|options| {
        options
            .setting("max_worker_processes", "3")
            .setting("ai.idle_timeout", "100ms")
            .setting("ai.request_timeout", "60s")
    });
    let other = notes.another_database("other");
    idle(&notes.cluster);
    idle(&other);
    // Longer than it takes to be refused after 0, 5 and 15 seconds; the next try would be after 35.
    notes.provider.behave_times(1, Behaviour::Slow(Duration::from_secs(18)));
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    add(&other, 2, "two");
    wait_for_reason(&notes.cluster, "launcher", "raise max_worker_processes");
    let began = Instant::now();
    wait_for_embedded(&other, &["0:first", "2:two"]);
    assert!(began.elapsed() < Duration::from_secs(28), "{:?}", began.elapsed());
    wait_for_embedded(&notes.cluster, &["0:first", "1:one"]);
}
