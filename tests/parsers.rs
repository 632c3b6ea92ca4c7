//! Parsers are few: vectorizers and sessions share them by turns.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use postgres::error::SqlState;
use support::database::describe;
use support::{DEADLINE, Options, Scene, wait_until};

/// What another may have to wait for, where the machine has other things to do. A slow document takes a minute.
const SOON: Duration = Duration::from_secs(15);

/// A cluster whose parser goes on until it is killed with a document that begins with "slow".
fn start(change: impl FnOnce(Options) -> Options) -> Scene {
    let scene = Scene::start_with(change);
    let program = scene.cluster.data().join("parser.sh");
    let script = "#!/bin/sh\nread -r first\ncase $first in\nslow*) exec /usr/bin/tail --pid=$PPID -f /dev/null ;;\nesac\nprintf 'answer 4 0\\ntext'\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    scene
        .cluster
        .execute(&format!("ALTER SYSTEM SET ai.parser_path = '{}'", program.display()));
    scene.cluster.reload();
    for name in ["eater", "other"] {
        scene.cluster.execute(&format!(
            "CREATE TABLE {name} (id int PRIMARY KEY, body bytea);
             SELECT ai.create_vectorizer('{name}'::regclass, name => '{name}', loading => ai.loading_column('body'),
                 chunking => ai.chunking_none(), embedding => ai.embedding_openai('text-embedding-3-small', 4))"
        ));
    }
    scene
}

/// Documents that no short cut takes: their last byte is no UTF-8.
fn insert(scene: &Scene, table: &str, first: &str, numbers: std::ops::Range<usize>) {
    scene.cluster.execute(&format!(
        "INSERT INTO {table} SELECT i, convert_to(E'{first} ' || i || E'\\n', 'UTF8') || '\\xe9'::bytea
         FROM generate_series({}, {}) i",
        numbers.start,
        numbers.end - 1
    ));
}

/// Processes that a process has started.
fn children(parent: i32) -> usize {
    let is_child = |process: std::io::Result<std::fs::DirEntry>| {
        let status = std::fs::read_to_string(process.ok()?.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        (line.trim().parse() == Ok(parent)).then_some(())
    };
    std::fs::read_dir("/proc").unwrap().filter_map(is_child).count()
}

/// A vectorizer with fifty documents of a minute each has both parsers only while nobody else wants one.
#[test]
fn a_vectorizer_that_eats_parsers_leaves_some_to_others() {
    let scene = start(|options| options.setting("ai.max_workers", "1"));
    insert(&scene, "eater", "slow", 0..50);
    let worker = scene.cluster.wait_for_worker();
    wait_until("it has both", DEADLINE, || children(worker), |&seen| seen == 2);
    for number in 0..10 {
        let started = Instant::now();
        insert(&scene, "other", "quick", number..number + 1);
        let done = format!("SELECT count(*) FROM other_embedding_store WHERE id = {number}");
        scene.cluster.wait_for("the other is embedded", &done, "1");
        assert!(
            started.elapsed() < SOON,
            "document {number} took {:?}",
            started.elapsed()
        );
    }
    wait_until("it has both again", DEADLINE, || children(worker), |&seen| seen == 2);
    assert_eq!(
        scene.cluster.value("SELECT count(*) FROM ai.vectorizer_errors"),
        "0",
        "what is called back has not failed"
    );
}

/// With as many owners as parsers, or more, nobody has more than a share. A place is taken back all the same,
/// and what is not done in five slices has failed for now.
#[test]
fn more_owners_than_parsers_take_turns() {
    let scene = start(|options| {
        options
            .setting("ai.parser_processes", "1")
            .setting("ai.parser_timeout", "300s")
    });
    // The owners differ from now on.
    scene.cluster.execute(
        "CREATE ROLE mallory; GRANT USAGE ON FOREIGN SERVER ai_openai TO mallory; GRANT CREATE ON SCHEMA public TO mallory;
         ALTER TABLE eater OWNER TO mallory",
    );
    insert(&scene, "eater", "slow", 0..1);
    let worker = scene.cluster.wait_for_worker();
    wait_until("the parser is hers", DEADLINE, || children(worker), |&seen| seen == 1);
    let errors = "SELECT failure_class || ': ' || (details ->> 'error_reason') FROM ai.vectorizer_errors";
    let mut number = 0;
    let failed = loop {
        let failed = scene.cluster.column(errors);
        if !failed.is_empty() {
            break failed;
        }
        let started = Instant::now();
        insert(&scene, "other", "quick", number..number + 1);
        let done = format!("SELECT count(*) FROM other_embedding_store WHERE id = {number}");
        scene.cluster.wait_for("the other is embedded", &done, "1");
        let took = started.elapsed();
        // Its slices are of 16 seconds at most.
        assert!(took < Duration::from_secs(16) + SOON, "document {number} took {took:?}");
        number += 1;
        assert!(number < 1000, "it goes on for ever");
    };
    assert_eq!(
        failed,
        [
            "transient: the document takes long, and its turn ended again and again before it was done, as other owners waited"
        ]
    );
}

/// All sessions that verify have as many parsers together as a worker has, and can be cancelled while they
/// wait for one.
#[test]
fn sessions_share_parsers() {
    let scene = start(|options| {
        options
            .setting("ai.max_workers", "0")
            .setting("ai.parser_processes", "1")
    });
    insert(&scene, "eater", "slow", 0..3);
    insert(&scene, "other", "quick", 0..1);
    // Nobody works on the queues: only what is not in them is read.
    scene
        .cluster
        .execute("TRUNCATE ai._vectorizer_intake_1, ai._vectorizer_intake_2, ai._vectorizer_q_1, ai._vectorizer_q_2");
    let verify = |name: &'static str| {
        let mut session = scene.cluster.connect().unwrap();
        let pid: i32 = session.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
        let cancel = session.cancel_token();
        let sql = format!("SELECT * FROM ai.verify_vectorizer('{name}')");
        let thread = std::thread::spawn(move || session.simple_query(&sql).map(|_| ()));
        (pid, cancel, thread)
    };
    let (first, cancel, first_thread) = verify("eater");
    wait_until(
        "the first has the parser",
        DEADLINE,
        || children(first),
        |&seen| seen == 1,
    );
    let (second, cancel_second, second_thread) = verify("eater");
    let waits = format!("SELECT coalesce(wait_event_type, '') FROM pg_stat_activity WHERE pid = {second}");
    scene.cluster.wait_for("the second waits for it", &waits, "Lock");
    assert_eq!((children(first), children(second)), (1, 0));

    let started = Instant::now();
    cancel_second.cancel_query(postgres::NoTls).unwrap();
    let error = second_thread.join().unwrap().unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{}", describe(&error));
    let (_, _, third_thread) = verify("other");
    cancel.cancel_query(postgres::NoTls).unwrap();
    let error = first_thread.join().unwrap().unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{}", describe(&error));
    third_thread.join().unwrap().expect("its turn has come");
    assert!(started.elapsed() < SOON, "it took {:?}", started.elapsed());
}

/// Verifications that go on and on keep one parser of their role: others verify, and cut.
#[test]
fn verifications_of_a_role_stop_nobody_else() {
    let scene = start(|options| options.setting("ai.max_workers", "0"));
    insert(&scene, "eater", "slow", 0..3);
    insert(&scene, "other", "quick", 0..3);
    scene.cluster.execute(
        "TRUNCATE ai._vectorizer_intake_1, ai._vectorizer_intake_2, ai._vectorizer_q_1, ai._vectorizer_q_2;
         CREATE ROLE mallory LOGIN;
         ALTER TABLE eater OWNER TO mallory",
    );
    let sessions: Vec<_> = (0..3)
        .map(|_| {
            let mut session = scene.cluster.connect().unwrap();
            session.batch_execute("SET SESSION AUTHORIZATION mallory").unwrap();
            let cancel = session.cancel_token();
            let verify = "SELECT * FROM ai.verify_vectorizer('eater')";
            let thread = std::thread::spawn(move || session.simple_query(verify).map(|_| ()));
            (cancel, thread)
        })
        .collect();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%(''eater'')' AND wait_event_type = 'Lock'";
    scene.cluster.wait_for("two of three wait", waits, "2");
    scene.cluster.execute("SET statement_timeout = '15s'");
    let found = "SELECT count(*) FROM ai.verify_vectorizer('other')";
    assert_eq!(scene.cluster.value(found), "3");
    for (cancel, thread) in sessions {
        cancel.cancel_query(postgres::NoTls).unwrap();
        let error = thread.join().unwrap().unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{}", describe(&error));
    }
}

/// What a system does not let a parser give up is said where people look.
#[test]
fn a_parser_that_is_not_confined_is_told_of() {
    let scene = start(|options| options.setting("ai.idle_timeout", "10min"));
    let program = scene.cluster.data().join("parser.sh");
    let script = "#!/bin/sh\nread -r first\necho 'ai-parser is not confined: it keeps its system calls' >&2\nprintf 'answer 4 0\\ntext'\n";
    std::fs::write(&program, script).unwrap();
    insert(&scene, "other", "quick", 0..1);
    let reason = "SELECT count(*) FROM ai.worker_status WHERE reason LIKE '%confinement: it keeps its system calls'";
    scene.cluster.wait_for("it is told", reason, "1");
    scene.cluster.wait_until_settled();
    assert_eq!(scene.cluster.value("SELECT count(*) FROM other_embedding_store"), "1");
}
