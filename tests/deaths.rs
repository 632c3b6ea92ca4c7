//! Processes that end: stopped, terminated, killed, or stopped and gone on. Nothing is lost, nothing is
//! written twice, and only a document that processes die with is set aside.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use notes::*;
use provider::Behaviour;
use rustix::process::Signal;
use support::{Answer, DEADLINE, Scene, Stop, documents, process, wait_until};

/// The worker comes back after the 5 seconds of a first back-off.
#[test]
fn state_terminated_worker_comes_back() {
    let notes = Notes::start();
    notes.provider.behave(Behaviour::Hang);
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    notes.cluster.execute(&format!(
        "SELECT pg_terminate_backend({})",
        notes.cluster.wait_for_worker()
    ));
    notes.wait_for_no_request();
    wait_for_reason(&notes.cluster, "worker", "1 starts failed in a row");
    notes.wait_for_requests_in_flight(1);
    // A further death would be a third, were the first ones charged.
    wait_for_queued(&notes.cluster, 1, "attempts, crashes", &["1", "0"]);
    assert_eq!(errors(&notes.cluster), [""; 0]);
    notes.provider.behave(Behaviour::Well);
    notes.cluster.execute("UPDATE note SET body = 'two'");
    notes.cluster.execute(&format!(
        "SELECT pg_terminate_backend({})",
        notes.cluster.wait_for_worker()
    ));
    // Whoever reloads has mended something.
    wait_for_reason(&notes.cluster, "worker", "2 starts failed in a row");
    notes.cluster.reload();
    wait_for_embedded(&notes.cluster, &["1:two"]);
}

#[test]
fn state_stopped_worker_charges_nobody() {
    let mut notes = Notes::start();
    notes.provider.behave(Behaviour::Hang);
    add(&notes.cluster, 1, "one");
    for _ in 0..3 {
        notes.wait_for_requests_in_flight(1);
        wait_for_queued(&notes.cluster, 1, "attempts, crashes", &["1", "0"]);
        notes.0.cluster.stop(Stop::Fast);
        notes.wait_for_no_request();
        notes.0.cluster.start_again();
    }
    // A power cut is no fault of the document either.
    notes.wait_for_requests_in_flight(1);
    notes.0.cluster.stop(Stop::Immediate);
    notes.wait_for_no_request();
    notes.0.cluster.start_again();
    notes.wait_for_requests_in_flight(1);
    wait_for_queued(&notes.cluster, 1, "attempts, crashes", &["1", "0"]);
    notes.0.cluster.stop(Stop::Fast);
    notes.provider.behave(Behaviour::Well);
    notes.0.cluster.start_again();
    wait_for_embedded(&notes.cluster, &["1:one"]);
    assert_eq!(errors(&notes.cluster), [""; 0]);
}

/// Less than a second is promised; the server itself needs a tenth.
#[test]
fn state_fast_stop_does_not_wait_for_the_provider() {
    let mut notes = Notes::start();
    notes.provider.behave(Behaviour::Hang);
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    let took = notes.0.cluster.stop(Stop::Fast);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn fast_stop_does_not_wait_for_s3() {
    let mut scene = Scene::start();
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.s3.answer("a.txt", Answer::Hang);
    scene.create_documents(&[&uri]);
    wait_until(
        "it is asked for",
        DEADLINE,
        || scene.s3.gets("a.txt"),
        |gets| *gets == 1,
    );
    let took = scene.cluster.stop(Stop::Fast);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

/// A trigger of the user on the destination keeps the worker inside SPI.
#[test]
fn fast_stop_does_not_wait_for_a_trigger() {
    let mut notes = Notes::start();
    notes.cluster.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END'",
    );
    notes
        .cluster
        .execute("CREATE TRIGGER slow BEFORE INSERT ON note_embedding_store FOR EACH ROW EXECUTE FUNCTION slow()");
    add(&notes.cluster, 1, "one");
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ai worker' AND wait_event = 'PgSleep'";
    notes.cluster.wait_for("the worker is in the trigger", asleep, "1");
    let took = notes.0.cluster.stop(Stop::Fast);
    assert!(took < Duration::from_secs(1), "{took:?}");
    notes.0.cluster.start_again();
    notes
        .cluster
        .wait_for("the worker is in the trigger again", asleep, "1");
    wait_for_queued(&notes.cluster, 1, "attempts, crashes", &["1", "0"]);
}

/// With eight documents in flight, a death costs no more than the answers to eight of them, which had not been written.
#[test]
fn killed_worker_writes_nothing_twice() {
    let notes = Notes::start_with(|options| options.setting("ai.max_documents_in_flight", "8"));
    notes.provider.behave(Behaviour::Slow(Duration::from_millis(100)));
    notes
        .cluster
        .execute("INSERT INTO note SELECT i, 'note ' || i FROM generate_series(1, 80) i");
    let chunks = "SELECT count(*) FROM note_embedding_store";
    for part in [10, 30] {
        let written = || notes.cluster.value(chunks).parse::<u64>().unwrap();
        wait_until("a part is written", DEADLINE, written, |written| *written >= part);
        notes.cluster.kill_worker();
    }
    notes.provider.behave(Behaviour::Well);
    notes.cluster.wait_for("all are written", chunks, "80");
    notes.cluster.wait_until_settled();
    let right = "SELECT count(*), count(DISTINCT n.id) FROM note n JOIN note_embedding_store s ON s.id = n.id AND s.chunk = n.body";
    assert_eq!(notes.cluster.rows(right), [["80", "80"]]);
    assert_eq!(failed(&notes.cluster), [""; 0]);
    let inputs = notes.provider.counts().inputs;
    assert!((80..=80 + 2 * 8).contains(&inputs), "{inputs} inputs were paid for");
}

#[test]
fn killed_launcher_comes_back() {
    let notes = Notes::start();
    let first = wait_until(
        "the launcher runs",
        DEADLINE,
        || launcher(&notes.cluster),
        Option::is_some,
    );
    kill(&notes.cluster, first.unwrap());
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    assert_ne!(launcher(&notes.cluster), first);
}

/// The postmaster starts it again after five seconds. Meanwhile its worker goes on, counts as one of those that may
/// run, and comes back when it is sent away, too.
#[test]
fn state_launcher_comes_back() {
    let notes = Notes::start_with(|options| {
        options
            .setting("ai.max_workers", "1")
            .setting("ai.idle_timeout", "100ms")
    });
    let other = notes.another_database("other");
    idle(&other);
    notes.provider.behave(Behaviour::Hang);
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    let first = launcher(&notes.cluster);
    notes
        .cluster
        .execute(&format!("SELECT pg_terminate_backend({})", first.unwrap()));
    let missing = "SELECT count(*) FROM ai.worker_status WHERE process = 'launcher' AND state = 'missing'";
    notes.cluster.wait_for("the status says so", missing, "1");
    wait_until(
        "it is there again",
        DEADLINE,
        || launcher(&notes.cluster),
        |now| now.is_some() && *now != first,
    );
    add(&other, 1, "eins");
    wait_for_reason(&notes.cluster, "launcher", "1 workers are busy");
    assert_eq!(notes.provider.counts().in_flight, 1);
    notes.provider.behave(Behaviour::Well);
    notes.cluster.execute(&format!(
        "SELECT pg_terminate_backend({})",
        notes.cluster.wait_for_worker()
    ));
    wait_for_embedded(&other, &["0:first", "1:eins"]);
    wait_for_embedded(&notes.cluster, &["1:one"]);
}

/// Documents that hang as they are loaded are the marked ones.
fn poisoned(scene: &Scene, neighbours: &[&str]) -> String {
    let uris: Vec<String> = neighbours.iter().map(|name| scene.s3.put(name, *name)).collect();
    let poison = scene.s3.put("poison", "poison");
    scene.s3.answer("poison", Answer::Hang);
    scene.create_document_table();
    scene.insert_documents(&[&poison]);
    scene.insert_documents(&uris.iter().map(String::as_str).collect::<Vec<_>>());
    scene.create_document_vectorizer();
    poison
}

/// Children of a process, by their programs.
fn children(parent: i32) -> Vec<(i32, String)> {
    let of_parent = |entry: std::io::Result<std::fs::DirEntry>| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let is_child = value("PPid:") == Some(&parent.to_string());
        is_child.then(|| (pid, value("Name:").unwrap_or_default().to_owned()))
    };
    let processes = std::fs::read_dir("/proc").expect("there is /proc");
    processes.filter_map(of_parent).collect()
}

/// Whoever kills a parser (the system for want of memory, an administrator) need not mean its document.
#[test]
fn a_parser_that_is_killed_is_started_again() {
    let scene = Scene::start();
    let program = scene.cluster.data().join("parser.sh");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 3600\n").unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    scene
        .cluster
        .execute(&format!("ALTER SYSTEM SET ai.parser_path = '{}'", program.display()));
    scene.cluster.reload();
    let uri = scene.s3.put("report.pdf", documents::parser_test("reportlab.pdf"));
    scene.create_documents(&[&uri]);
    for time in 1..=2 {
        let slow = || {
            children(scene.cluster.worker()?)
                .into_iter()
                .find(|(_, name)| name == "sleep")
        };
        let parser = wait_until("a parser is at work", DEADLINE, slow, Option::is_some);
        if time == 2 {
            scene.cluster.execute("ALTER SYSTEM RESET ai.parser_path");
            scene.cluster.reload();
        }
        process::signal(parser.unwrap().0, Signal::KILL);
        let times = format!("unknown:{time}");
        let noted = "SELECT failure_class || ':' || occurrences FROM ai.vectorizer_errors WHERE step = 'parsing'";
        wait_until(
            "its death is noted",
            DEADLINE,
            || scene.cluster.column(noted),
            |seen| *seen == [times.as_str()],
        );
    }
    scene.cluster.wait_until_settled();
    assert_eq!(scene.failed(), [""; 0]);
    let text = documents::text(&documents::parser_test("reportlab.pdf"));
    assert_eq!(scene.chunks(&uri), documents::chunks(&text));
}

/// A worker that is killed three times over the same document leaves it aside, and only it.
#[test]
fn state_third_death_fails() {
    let scene = Scene::start();
    let poison = poisoned(&scene, &["a", "b", "c"]);
    let gets = || scene.s3.gets("poison");
    for death in 1..=3 {
        wait_until("the poison is in a worker's hands", DEADLINE, gets, |gets| {
            *gets == death
        });
        scene.cluster.kill_worker();
    }
    let failed = "SELECT uri, failure_class, failure_step, reason FROM ai._vectorizer_q_failed_1";
    let rows = wait_until(
        "it is put aside",
        DEADLINE,
        || scene.cluster.rows(failed),
        |rows| !rows.is_empty(),
    );
    let reason = "the worker process died 3 times while it worked on this document";
    assert_eq!(rows, [[poison.as_str(), "permanent", "parsing", reason]]);
    let said = "SELECT primary_key ->> 'uri', occurrences FROM ai.vectorizer_errors";
    assert_eq!(scene.cluster.rows(said), [[poison.as_str(), "1"]]);
    scene.cluster.wait_until_settled();
    let chunks = "SELECT chunk FROM document_embeddings ORDER BY 1";
    assert_eq!(scene.cluster.column(chunks), ["a", "b", "c"]);
    assert_eq!(scene.s3.gets("poison"), 3, "nobody touches it again");
}

/// All that was in the worker's hands is under suspicion, and what comes later does not wait behind it.
#[test]
fn state_killed_worker_makes_a_suspect() {
    let notes = Notes::start();
    notes.provider.behave(Behaviour::Hang);
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    notes.cluster.kill_worker();
    notes.wait_for_requests_in_flight(1);
    wait_for_queued(&notes.cluster, 1, "crashes, attempts, lease IS NULL", &["1", "1", "f"]);
    assert_eq!(errors(&notes.cluster), [""; 0]);
}

/// A crash of the server ends the worker in the middle of its work; what it had in its hands was not the cause.
#[test]
fn state_crash_of_another_charges_nobody() {
    let notes = Notes::start();
    notes.provider.behave(Behaviour::Hang);
    add(&notes.cluster, 1, "one");
    for _ in 0..2 {
        notes.wait_for_requests_in_flight(1);
        let session: i32 = notes.cluster.value("SELECT pg_backend_pid()").parse().unwrap();
        kill(&notes.cluster, session);
        notes.wait_for_requests_in_flight(1);
        wait_for_queued(&notes.cluster, 1, "attempts, crashes, lease IS NULL", &["1", "0", "f"]);
    }
    assert_eq!(errors(&notes.cluster), [""; 0]);
    // And its own is found out all the same.
    notes.cluster.kill_worker();
    notes.wait_for_requests_in_flight(1);
    wait_for_queued(&notes.cluster, 1, "attempts, crashes, lease IS NULL", &["1", "1", "f"]);
}

/// Leases come along with a copy; whose they were died in no process of the copy's.
#[test]
fn state_copied_lease_charges_nobody() {
    let notes = Notes::start();
    let other = notes.another_database("other");
    notes.provider.behave(Behaviour::Hang);
    add(&other, 1, "one");
    notes.wait_for_requests_in_flight(1);
    other.disconnect();
    notes.cluster.execute("CREATE DATABASE copy TEMPLATE other");
    let copy = notes.cluster.database("copy");
    wait_until(
        "both are worked on",
        DEADLINE,
        || notes.provider.counts().in_flight,
        |now| *now == 2,
    );
    for database in [&other, &copy] {
        wait_for_queued(database, 1, "attempts, crashes, lease IS NULL", &["1", "0", "f"]);
    }
}

/// Slow enough that two of them would be seen together.
#[test]
fn state_suspect_flies_alone() {
    let notes = Notes::start();
    notes.provider.behave(Behaviour::Hang);
    add_many(&notes.cluster, 4);
    // The first is sent alone, and the others together behind it.
    notes.wait_for_texts(4);
    notes.cluster.kill_worker();
    // Those of one death are in it together, and nobody else is.
    notes.wait_for_texts(8);
    add(&notes.cluster, 5, "note 5");
    wait_for_queued(&notes.cluster, 5, "attempts, crashes, lease IS NULL", &["0", "0", "t"]);
    let before = notes.provider.seen().len();
    notes.provider.behave(Behaviour::Slow(Duration::from_millis(300)));
    notes.cluster.kill_worker();
    let chunks = "SELECT count(*) FROM note_embedding_store";
    notes.cluster.wait_for("all are embedded", chunks, "5");
    notes.cluster.wait_until_settled();
    let seen = notes.provider.seen();
    let requests: Vec<usize> = seen[before..].iter().map(|request| request.texts.len()).collect();
    assert_eq!(requests, [1; 5]);
    for pair in seen[before..].windows(2) {
        assert!(
            pair[1].at - pair[0].at >= Duration::from_millis(300),
            "one waits for the answer of the other"
        );
    }
}

/// However much there is to do otherwise, their turn comes.
#[test]
fn suspects_have_their_turn() {
    let notes = Notes::start_with(|options| options.setting("ai.max_documents_in_flight", "4"));
    create_memos(&notes.cluster, EMBEDDING);
    notes.provider.behave(Behaviour::Hang);
    notes.cluster.execute("INSERT INTO memo VALUES (1, 'one')");
    notes.wait_for_requests_in_flight(1);
    add_many(&notes.cluster, 5000);
    notes.provider.behave(Behaviour::Slow(Duration::from_millis(50)));
    notes.cluster.kill_worker();
    let there = "SELECT count(*) FROM memo_embedding_store";
    notes.cluster.wait_for("the suspect is embedded", there, "1");
    let others = "SELECT count(*) FROM note_embedding_store";
    let others: u32 = notes.cluster.value(others).parse().unwrap();
    assert!((1..5000).contains(&others), "after {others} of the others");
}

/// What changed since may be harmless now: it is taken together with others.
#[test]
fn state_suspect_changed_is_innocent() {
    let notes = Notes::start();
    notes.provider.behave(Behaviour::Hang);
    add_many(&notes.cluster, 3);
    notes.wait_for_texts(3);
    notes.cluster.kill_worker();
    notes.wait_for_texts(6);
    notes.cluster.kill_worker();
    // One of them flies alone; the others lie in the queue.
    notes.wait_for_requests_in_flight(1);
    wait_for_queued(&notes.cluster, 3, "crashes, lease IS NULL", &["2", "t"]);
    notes.cluster.execute("UPDATE note SET body = 'three' WHERE id = 3");
    wait_for_queued(&notes.cluster, 3, "crashes, version", &["0", "2"]);
    notes.cluster.execute(&format!(
        "SELECT pg_terminate_backend({})",
        notes.cluster.wait_for_worker()
    ));
    notes.wait_for_no_request();
    notes.provider.behave(Behaviour::Well);
    notes.cluster.reload();
    wait_for_embedded(&notes.cluster, &["1:note 1", "2:note 2", "3:three"]);
}

/// A worker that was stopped for longer than its lease, and whose document nobody has taken meanwhile, has it
/// still: it does not pass for one that nobody holds.
#[test]
fn sleeping_worker_pays_once() {
    let notes = Notes::start_with(|options| {
        options
            .setting("ai.lease_duration", "2s")
            .setting("ai.idle_timeout", "1h")
    });
    notes.provider.behave(Behaviour::Slow(Duration::from_secs(6)));
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    let worker = notes.cluster.wait_for_worker();
    process::signal(worker, Signal::STOP);
    add(&notes.cluster, 2, "two");
    let expired = "SELECT count(*) FROM ai._vectorizer_q_1 WHERE lease_expires_at < now()";
    notes.cluster.wait_for("the lease has run out", expired, "1");
    process::signal(worker, Signal::CONT);
    notes.wait_for_texts(2);
    notes.provider.behave(Behaviour::Well);
    wait_for_embedded(&notes.cluster, &["1:one", "2:two"]);
    assert_eq!(notes.provider.counts().inputs, 2);
}

/// A worker that was stopped for longer than its lease wakes up and finds its document in other hands: it
/// writes nothing.
#[test]
fn sleeping_worker_writes_nothing() {
    let notes = Notes::start_with(|options| options.setting("ai.lease_duration", "2s"));
    notes.provider.behave_times(1, Behaviour::Slow(Duration::from_secs(1)));
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    let worker = notes.cluster.wait_for_worker();
    process::signal(worker, Signal::STOP);
    let expired = "SELECT count(*) FROM ai._vectorizer_q_1 WHERE lease_expires_at < now()";
    notes.cluster.wait_for("the lease has run out", expired, "1");
    notes.wait_for_no_request();
    notes.cluster.execute(
        "UPDATE ai._vectorizer_q_1 SET lease = 1, lease_taken_at = now(), lease_expires_at = now() + interval '1 hour'",
    );
    process::signal(worker, Signal::CONT);
    add(&notes.cluster, 2, "two");
    wait_until(
        "the other is embedded",
        DEADLINE,
        || embedded(&notes.cluster),
        |seen| seen == &["2:two"],
    );
    wait_for_no_worker(&notes.cluster);
    assert_eq!(embedded(&notes.cluster), ["2:two"]);
    assert_eq!(
        queued(&notes.cluster, 1, "lease, version, attempts").unwrap(),
        ["1", "1", "1"]
    );
    // The other one dies, too: its lease runs out.
    notes
        .cluster
        .execute("UPDATE ai._vectorizer_q_1 SET lease_expires_at = now()");
    notes.cluster.execute("SELECT ai._wake_worker()");
    wait_for_embedded(&notes.cluster, &["1:one", "2:two"]);
}
