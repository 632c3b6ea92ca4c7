//! Threads that cannot be made: for want of memory, or as the system refuses them. A caller that wants them is
//! told, waits for nothing, and can be ended.
//!
//! In a server that was built for tests, `AI_TEST_THREADS=n` in its environment has the system refuse the
//! n-th thread of each process, and `AI_TEST_SHORTAGE_OF_THREADS=n` has the n-th allocation fail while
//! threads are made.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::sync::mpsc;
use std::time::Duration;

use notes::*;
use support::{Cluster, DEADLINE, Scene, Stop};

const EMBED: &str = "SELECT ai.openai_embed('text-embedding-3-small', 'text', dimensions => 8)";
/// What a fast stop may take: no thread is waited for.
const STOP: Duration = Duration::from_secs(10);
/// After so many allocations in a row that did not fail, there are no more.
const IN_VAIN: usize = 8;
/// Sessions at a time.
const SESSIONS: usize = 20;
/// More than Postgres has room for exit handlers.
const OFTEN: usize = 25;

/// Sets how many processes and threads the user of the server may have, as far as this process is concerned.
fn limit(cluster: &Cluster, pid: i32, threads: &str) {
    let mut another = cluster.connect().expect("there is room for a session");
    let set = format!("COPY (SELECT WHERE false) TO PROGRAM 'prlimit --pid {pid} --nproc={threads}:'");
    another.batch_execute(&set).expect("util-linux is everywhere");
}

/// The most that the process may ask for.
fn most(pid: i32) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("the process is there");
    let line = limits.lines().find(|line| line.starts_with("Max processes"));
    let most = line.and_then(|line| line.split_whitespace().nth(3));
    most.expect("a limit").to_owned()
}

fn pid(session: &mut postgres::Client) -> i32 {
    let row = session.query_one("SELECT pg_backend_pid()", &[]).unwrap();
    row.get(0)
}

/// The class of the error, and what is said.
#[track_caller]
fn refusal(error: &postgres::Error) -> (String, String) {
    let said = error.as_db_error().unwrap_or_else(|| panic!("{error}"));
    assert_eq!(said.severity(), "ERROR", "{said:?}");
    (said.code().code().to_owned(), said.message().to_owned())
}

/// Signals arrive.
#[track_caller]
fn assert_can_be_cancelled(session: &mut postgres::Client) {
    let late = "SET statement_timeout = '50ms'; SELECT pg_sleep(20)";
    let (code, _) = refusal(&session.batch_execute(late).unwrap_err());
    assert_eq!(code, "57014");
    session.batch_execute("RESET statement_timeout").unwrap();
}

#[test]
fn a_thread_that_the_system_refuses_is_an_error_of_the_statement() {
    let mut scene = Scene::start();
    let mut session = scene.cluster.connect().expect("there is room for a session");
    let pid = pid(&mut session);
    limit(&scene.cluster, pid, "1");
    for _ in 0..OFTEN {
        let (code, message) = refusal(&session.batch_execute(EMBED).unwrap_err());
        assert_eq!(code, "53000", "{message}");
        assert!(
            message.starts_with("cannot start the thread for the network: "),
            "{message}"
        );
    }
    assert_can_be_cancelled(&mut session);
    limit(&scene.cluster, pid, &most(pid));
    session.batch_execute(EMBED).unwrap();
    assert!(scene.cluster.stop(Stop::Fast) < STOP);
}

/// Each of the allocations fails once, also those after the thread has begun.
#[test]
fn an_allocation_that_fails_as_a_thread_begins_is_an_error_of_the_statement() {
    let mut scene = Scene::start();
    let (mut first, mut failures, mut in_vain) = (0, 0, 0);
    while in_vain < IN_VAIN {
        scene
            .cluster
            .restart_with(|options| options.env("AI_TEST_SHORTAGE_OF_THREADS", first.to_string()));
        let session = scene.cluster.connect().expect("there is room for a session");
        let (sender, receiver) = mpsc::channel();
        // A session that hangs would keep the test waiting for ever.
        std::thread::spawn(move || sender.send(until_it_succeeds(session)));
        let failed = receiver.recv_timeout(DEADLINE).expect("no statement hangs");
        // One that failed may have done no harm.
        first += failed + 1;
        failures += failed;
        in_vain = if failed == 0 { in_vain + 1 } else { 0 };
    }
    println!("{failures} of {first} allocations have failed");
    assert!(failures > 20, "{failures}");
    assert!(scene.cluster.stop(Stop::Fast) < STOP);
}

/// How often it failed before.
fn until_it_succeeds(mut session: postgres::Client) -> usize {
    let mut failures = 0;
    while let Err(error) = session.batch_execute(EMBED) {
        let (code, message) = refusal(&error);
        assert_eq!(code, "53200", "{message}, after {failures}");
        failures += 1;
    }
    assert_can_be_cancelled(&mut session);
    failures
}

/// Sessions and workers that begin threads again and again while allocations of all of them fail here and there.
#[test]
fn a_shortage_as_threads_begin_keeps_no_server_from_stopping() {
    let mut scene = Scene::start();
    create_notes(&scene.cluster, 6);
    scene.cluster.wait_until_settled();
    for seed in 0..3 {
        scene.cluster.restart_with(|options| {
            options
                .env("AI_TEST_SHORTAGE", "200")
                .env("AI_TEST_SHORTAGE_SEED", seed.to_string())
        });
        let sessions: Vec<_> = (0..SESSIONS).map(|_| scene.cluster.connect()).collect();
        let (sender, receiver) = mpsc::channel();
        for session in sessions.into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut session = session;
                let ended = (0..4).all(|_| session.batch_execute(EMBED).is_ok() || !session.is_closed());
                let _ = sender.send((ended, session));
            });
        }
        drop(sender);
        let mut sessions = Vec::new();
        while let Ok((ended, session)) = receiver.recv_timeout(DEADLINE) {
            assert!(ended, "a session has ended");
            sessions.push(session);
        }
        assert_eq!(sessions.len(), SESSIONS, "some hang");
        let log = scene.cluster.log();
        assert!(
            log.contains("an allocation fails for a test") && !log.contains("terminated by signal"),
            "{log}"
        );
        let stopped = scene.cluster.stop(Stop::Fast);
        assert!(stopped < STOP, "{stopped:?}");
        scene.cluster.start_again();
    }
}

#[test]
fn a_worker_that_is_refused_its_threads_says_so_and_is_started_again() {
    let mut scene = Scene::start();
    create_notes(&scene.cluster, 6);
    add(&scene.cluster, 1, "one");
    wait_for_embedded(&scene.cluster, &["1:one"]);
    let reason =
        "SELECT coalesce(string_agg(reason, ''), '') LIKE $$%$said$%$$ FROM ai.worker_status WHERE process = 'worker'";
    for (name, value, said) in [
        ("AI_TEST_THREADS", "1", "cannot start the threads of a worker: "),
        ("AI_TEST_THREADS", "2", "cannot start the threads of a worker: "),
        ("AI_TEST_SHORTAGE_OF_THREADS", "5", "out of memory"),
    ] {
        scene.cluster.restart_with(|options| options.env(name, value));
        let look = reason.replace("$said$", said);
        scene.cluster.wait_for("the worker says so", &look, "t");
        scene.cluster.restart_with(|options| options.env(name, ""));
    }
    let stopped = scene.cluster.stop(Stop::Fast);
    assert!(stopped < STOP, "{stopped:?}");
    scene.cluster.start_again();
    add(&scene.cluster, 2, "two");
    wait_for_embedded(&scene.cluster, &["1:one", "2:two"]);
}
