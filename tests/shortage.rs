//! A shortage of memory: a statement fails, or a document, and the server stays up.
//!
//! `AI_TEST_SHORTAGE` in the environment of a server that was built for tests makes one allocation of Rust
//! code in so many fail, at random. `make soak` goes on until a thousand have.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::time::{Duration, Instant};

use notes::*;
use provider::Behaviour;
use support::documents::parser_test;
use support::{Cluster, Options, Scene};

/// Failures that a soak goes on for, and those of a test that shows that it works.
const MANY: usize = 1000;
const SOME: usize = 60;

/// Gives a process of a server no more address space than this beyond what it has; `None` for as much as it
/// likes. The server does it, whose user alone may.
fn limit(cluster: &Cluster, pid: i32, more: Option<u64>) {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("the process is there");
    let pages: u64 = statm
        .split(' ')
        .next()
        .and_then(|pages| pages.parse().ok())
        .expect("a number");
    let limit = more.map_or("unlimited".to_owned(), |more| (pages * 4096 + more).to_string());
    let mut another = cluster.connect().expect("there is room for a session");
    let set = format!("COPY (SELECT WHERE false) TO PROGRAM 'prlimit --pid {pid} --as={limit}:'");
    another.batch_execute(&set).expect("util-linux is everywhere");
}

/// No process was killed or aborted, and none made the server start again.
#[track_caller]
fn assert_unharmed(cluster: &Cluster) {
    let log = cluster.log();
    for sign in [
        "was terminated by signal",
        "terminating any other active",
        "PANIC:",
        "stuck",
    ] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(sign)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

#[test]
fn a_failed_allocation_is_an_error_of_the_statement() {
    let scene = Scene::start();
    scene
        .cluster
        .execute("CREATE TABLE large AS SELECT repeat('word ', 400000) AS body");
    let chunk = "SELECT count(*) FROM large, ai.chunk_text(body, 20, 0, ' ')";
    let expected: i64 = scene.cluster.value(chunk).parse().unwrap();
    let mut of_rust = 0;
    for megabytes in (0..200).step_by(2) {
        // One that has nothing left from before, and goes on after an error.
        let mut session = scene.cluster.connect().expect("there is room for a session");
        let mut ask = |sql: &str| -> Result<i64, postgres::Error> { session.query_one(sql, &[])?.try_get(0) };
        ask("SELECT count(*) FROM ai.chunk_text('text')").unwrap();
        let pid = i32::try_from(ask("SELECT pg_backend_pid()::bigint").unwrap()).unwrap();
        limit(&scene.cluster, pid, Some(megabytes << 20));
        let Err(error) = ask(chunk) else { break };
        let said = error.as_db_error().unwrap_or_else(|| panic!("{error}"));
        // Of Postgres' class of insufficient resources: there is no memory for a thread, or for what it does.
        assert!(["53200", "53000"].contains(&said.code().code()), "{said:?}");
        // Postgres' own say in which of its contexts.
        of_rust += usize::from(!said.detail().unwrap_or_default().contains("memory context"));
        limit(&scene.cluster, pid, None);
        assert_eq!(ask(chunk).unwrap(), expected, "the session is as it was");
    }
    assert!(of_rust > 0, "no allocation of Rust code has failed");
    assert_unharmed(&scene.cluster);
}

/// The one that there is no memory for waits; the others are embedded.
#[test]
fn a_failed_allocation_in_the_worker_is_a_failure_of_its_document() {
    let scene = Scene::start_with(|options| options.setting("ai.idle_timeout", "1h"));
    scene
        .cluster
        .execute("CREATE TABLE note (id int PRIMARY KEY, body text)");
    scene.cluster.execute(&format!(
        "SELECT ai.create_vectorizer('note'::regclass, loading => ai.loading_column('body'),
             chunking => ai.chunking_character_text_splitter(chunk_size => 20000, chunk_overlap => 0, separator => ' '),
             embedding => {EMBEDDING})"
    ));
    add(&scene.cluster, 1, "one");
    wait_for_embedded(&scene.cluster, &["1:one"]);
    let worker = scene.cluster.wait_for_worker();
    limit(&scene.cluster, worker, Some(24 << 20));
    scene
        .cluster
        .execute("INSERT INTO note VALUES (2, repeat('word ', 4000000)); INSERT INTO note VALUES (3, 'three')");
    let errors =
        "SELECT string_agg(DISTINCT primary_key ->> 'id' || ':' || failure_class, ' ') FROM ai.vectorizer_errors";
    scene
        .cluster
        .wait_for("the large one has failed", errors, "2:transient");
    let small = "SELECT count(*) FROM note_embedding_store WHERE id = 3";
    scene.cluster.wait_for("the small one is embedded", small, "1");
    limit(&scene.cluster, worker, None);
    scene
        .cluster
        .execute("SELECT ai.retry_vectorizer('public_note_embedding_store')");
    scene.cluster.wait_until_settled();
    assert_eq!(
        scene
            .cluster
            .value("SELECT count(*) > 900 FROM note_embedding_store WHERE id = 2"),
        "t"
    );
    assert_eq!(scene.cluster.worker(), Some(worker), "the worker has stayed");
    assert_unharmed(&scene.cluster);
}

/// A server under `ulimit -v`, and all that a configuration multiplies: what there is no memory for fails by itself.
#[test]
fn a_server_with_little_address_space_stays_up() {
    let scene = Scene::start();
    scene.cluster.execute(
        "CREATE TABLE note (id int PRIMARY KEY, body text);
         CREATE TABLE greedy (id int PRIMARY KEY, body text)",
    );
    let postmaster = scene.cluster.postmaster();
    let mut session = scene.cluster.connect().expect("there is room for a session");
    let set = format!("COPY (SELECT WHERE false) TO PROGRAM 'prlimit --pid {postmaster} --as=3584000000:'");
    session.batch_execute(&set).expect("util-linux is everywhere");
    drop(session);
    scene.cluster.execute(&format!(
        "SELECT ai.create_vectorizer('note'::regclass, loading => ai.loading_column('body'), embedding => {EMBEDDING})"
    ));
    let chunkings = [
        ("template", "ai.chunking_none()", "repeat('$chunk', 1000)"),
        (
            "overlap",
            "ai.chunking_character_text_splitter(20000, 19999, '\\s', true)",
            "'$chunk'",
        ),
        ("small", "ai.chunking_character_text_splitter(1, 0, '')", "'$chunk'"),
        (
            "spaced",
            "ai.chunking_recursive_character_text_splitter(50000, 49999, ARRAY['\\s'], true)",
            "'$chunk'",
        ),
    ];
    for (name, chunking, template) in chunkings {
        scene.cluster.execute(&format!(
            "SELECT ai.create_vectorizer('greedy'::regclass, name => '{name}', loading => ai.loading_column('body'),
                 destination => ai.destination_table('{name}'), chunking => {chunking},
                 formatting => ai.formatting_python_template({template}), embedding => {EMBEDDING})"
        ));
    }
    scene
        .cluster
        .execute("INSERT INTO greedy SELECT i, repeat('a ', 5000000) FROM generate_series(1, 2) i");
    for round in 0..9 {
        let text = format!("repeat('a ', {})", 200_000 << (round % 4));
        let statement = match round % 3 {
            0 => format!("SELECT count(*) FROM ai.chunk_text({text}, 50000, 49999, '\\s', true)"),
            1 => format!("SELECT count(*) FROM ai.chunk_text_recursively({text}, 20000, 19999, ARRAY['\\s'], true)"),
            _ => format!("SELECT count(*) FROM ai.chunk_text({text}, 1, 0, '')"),
        };
        if let Err(error) = scene.cluster.try_rows(&statement) {
            let said = error.as_db_error().unwrap_or_else(|| panic!("{statement}: {error}"));
            assert!(
                said.code().code().starts_with("53") || said.code().code() == "54000",
                "{said:?}"
            );
        }
        add(&scene.cluster, round, "beside it");
        let small = format!("SELECT count(*) FROM note_embedding_store WHERE id = {round}");
        scene.cluster.wait_for("the neighbour's is embedded", &small, "1");
    }
    let tried = "SELECT count(DISTINCT name) FROM ai.vectorizer_errors WHERE name <> 'public_note_embedding_store'";
    scene.cluster.wait_for("what cannot be made is named", tried, "4");
    assert_unharmed(&scene.cluster);
}

/// `RUST_BACKTRACE` is for the log: pgrx would send what it has std print.
#[test]
fn a_backtrace_goes_to_no_client() {
    let scene = Scene::start_with(|options| options.env("RUST_BACKTRACE", "1"));
    scene.provider.behave(Behaviour::Hang);
    let mut session = scene.cluster.connect().expect("there is room for a session");
    session.batch_execute("SET statement_timeout = '200ms'").unwrap();
    for statement in [
        "SELECT ai.openai_embed('text-embedding-3-small', 'text', dimensions => 8)",
        "SELECT ai.chunk_text('text', chunk_size => -1)",
        "SELECT ai.create_vectorizer('pg_class'::regclass, embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    ] {
        let error = session.batch_execute(statement).expect_err("it fails");
        let said = format!("{:?}", error.as_db_error().unwrap_or_else(|| panic!("{error}")));
        assert!(
            !said.contains("stack backtrace") && !said.contains("core::ops"),
            "{said}"
        );
        assert!(!said.contains("pgrx"), "{said}");
    }
}

/// Documents of all kinds and sessions that call everything, while allocations fail here and there.
#[test]
fn allocations_that_fail_at_random_harm_nothing() {
    let wanted = match std::env::var("SOAK_MINUTES") {
        Ok(_) => MANY,
        Err(_) => SOME,
    };
    let failures = storm(wanted, &seed("1"), |options| options.env("AI_TEST_SHORTAGE", "10000"));
    println!("{failures} allocations failed");
}

/// What runs while Postgres rolls back must not fail: the session would not come out of it, and the server
/// would go down.
#[test]
fn a_rollback_needs_no_memory() {
    let mut scene = Scene::start();
    create_notes(&scene.cluster, 1);
    scene.cluster.wait_until_settled();
    scene.cluster.restart_with(|options| {
        options
            .env("AI_TEST_SHORTAGE", "100")
            .setting("log_min_messages", "warning")
    });
    let mut session = scene.cluster.connect().expect("there is room for a session");
    let mut failures = 0;
    for round in 0..60 {
        let nested = format!(
            "DO $$
             BEGIN
                 FOR i IN 1..300 LOOP
                     BEGIN
                         INSERT INTO note VALUES (-i, 'a') ON CONFLICT (id) DO UPDATE SET body = excluded.body || {round};
                         BEGIN
                             UPDATE note SET body = 'b' || i WHERE id = 1;
                             PERFORM 1 / 0;
                         EXCEPTION WHEN division_by_zero THEN NULL;
                         END;
                         PERFORM 1 / 0;
                     EXCEPTION WHEN OTHERS THEN NULL;
                     END;
                 END LOOP;
             END $$"
        );
        failures += u32::from(session.batch_execute(&nested).is_err());
        let ended = session.batch_execute("ROLLBACK; BEGIN; SAVEPOINT a; SELECT 1; ROLLBACK TO a; COMMIT");
        ended.unwrap_or_else(|error| panic!("round {round}, after {failures} failures: {error}"));
    }
    drop(session);
    assert_unharmed(&scene.cluster);
    let log = scene.cluster.log();
    assert!(log.contains("an allocation fails for a test"), "{log}");
    assert!(!log.contains("while in ABORT state"), "{log}");
}

/// As if the program had faults everywhere.
#[test]
fn panics_at_random_harm_nothing() {
    let failures = storm(SOME, &seed("2"), |options| {
        options
            .env("AI_TEST_SHORTAGE", "10000")
            .env("AI_TEST_SHORTAGE_PANICS", "on")
    });
    println!("{failures} allocations panicked");
}

fn seed(usual: &str) -> String {
    std::env::var("CONVERGENCE_SEED").unwrap_or_else(|_| usual.to_owned())
}

fn storm(wanted: usize, seed: &str, change: impl FnOnce(Options) -> Options) -> usize {
    let mut scene = Scene::start_with(|options| {
        options
            .setting("ai.lease_duration", "2s")
            .setting("ai.naptime", "1s")
            .setting("log_min_messages", "warning")
    });
    prepare(&scene);
    scene
        .cluster
        .restart_with(|options| change(options).env("AI_TEST_SHORTAGE_SEED", seed));
    let struck = |cluster: &Cluster| cluster.log().matches("an allocation fails for a test").count();
    let started = Instant::now();
    let mut round = 0;
    while struck(&scene.cluster) < wanted {
        round += 1;
        assert!(
            started.elapsed() < Duration::from_secs(1800),
            "{} failures",
            struck(&scene.cluster)
        );
        for statement in statements(round) {
            if let Err(error) = scene.cluster.try_rows(&statement) {
                // Out of memory, a panic, or what could not be made because of one; never the end of the session.
                let said = error.as_db_error().unwrap_or_else(|| panic!("{statement}: {error}"));
                assert_eq!(said.severity(), "ERROR", "{statement}: {said:?}");
            }
        }
    }
    assert_unharmed(&scene.cluster);
    let failures = struck(&scene.cluster);
    scene
        .cluster
        .restart_with(|options| options.env("AI_TEST_SHORTAGE", ""));
    // Once for those that were given up, and for those that met what nobody could help as the server stopped.
    for _ in 0..2 {
        let retry = "SELECT ai.retry_vectorizer(id) FROM ai.vectorizer";
        scene.cluster.execute(retry);
        scene.cluster.wait_until_settled();
    }
    assert_eq!(scene.cluster.value("SELECT count(*) FROM ai.vectorizer_failed"), "0");
    for vectorizer in ["public_note_embedding_store", "public_object_embedding_store"] {
        let wrong = scene
            .cluster
            .rows(&format!("SELECT * FROM ai.verify_vectorizer('{vectorizer}')"));
        assert!(wrong.is_empty(), "{vectorizer}: {wrong:#?}");
    }
    assert_unharmed(&scene.cluster);
    failures
}

fn prepare(scene: &Scene) {
    create_notes(&scene.cluster, 6);
    scene.cluster.execute(
        "CREATE TABLE object (id int PRIMARY KEY, uri text);
         CREATE TABLE spare (id int PRIMARY KEY, body text)",
    );
    scene.cluster.execute(
        "SELECT ai.create_vectorizer('object'::regclass, loading => ai.loading_uri('uri'),
             formatting => ai.formatting_python_template('$uri: $chunk'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    for (id, name, bytes) in [
        (1, "a.txt", "Some text. ".repeat(2000).into_bytes()),
        (2, "b.pdf", parser_test("typst.pdf")),
        (3, "c.md", "# Title\n\nText.\n\n".repeat(300).into_bytes()),
    ] {
        let uri = scene.s3.put(name, bytes);
        scene
            .cluster
            .execute(&format!("INSERT INTO object VALUES ({id}, '{uri}')"));
    }
    scene.cluster.wait_until_settled();
}

/// What users do in a round.
fn statements(round: usize) -> Vec<String> {
    vec![
        format!(
            "INSERT INTO note SELECT 100 * {round} + i, repeat('note ' || i || ' ', 200) FROM generate_series(0, 20) i"
        ),
        format!("UPDATE note SET body = 'changed ' || id || ' in {round}' WHERE id % 7 = {round} % 7"),
        format!("DELETE FROM note WHERE id < 100 * ({round} - 10)"),
        format!("UPDATE object SET uri = uri || '?round={round}' WHERE false; UPDATE object SET id = id"),
        "SELECT count(*) FROM ai.chunk_text(repeat('some words. ', 5000), 100, 20)".to_owned(),
        "SELECT ai.openai_embed('text-embedding-3-small', 'a query', dimensions => 8)".to_owned(),
        "SELECT count(*) FROM ai.verify_vectorizer('public_note_embedding_store')".to_owned(),
        "SELECT count(*) FROM ai.verify_vectorizer('public_object_embedding_store')".to_owned(),
        "SELECT ai.create_vectorizer('spare'::regclass, name => 'spare', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))"
            .to_owned(),
        "SELECT * FROM ai.vectorizer_status; SELECT * FROM ai.worker_status; SELECT * FROM ai.vectorizer_errors".to_owned(),
        "SELECT ai.drop_vectorizer('spare', drop_all => true)".to_owned(),
        "SELECT ai.retry_vectorizer('public_note_embedding_store')".to_owned(),
        "BEGIN; INSERT INTO note VALUES (-1, 'gone'); SAVEPOINT s; INSERT INTO note VALUES (-2, 'gone'); ROLLBACK TO s; ROLLBACK"
            .to_owned(),
    ]
}
