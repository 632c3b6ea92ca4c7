//! Users' texts, separators and templates: whatever they multiply to, they cost their owner a failure and
//! nobody else a moment.

mod support;

use std::time::{Duration, Instant};

use postgres::error::SqlState;
use support::database::describe;
use support::{DEADLINE, Scene, Stop, wait_until};

/// An expression that takes long for every character of a text of `a`: each search is within the limit of
/// steps for one.
const SLOW: &str = "(?:a|aa){18}(?=c)|a";
/// What an interruption may take here, where the machine has other things to do. Undisturbed, `SLOW` takes minutes.
const SOON: Duration = Duration::from_secs(10);

const EMBEDDING: &str = "ai.embedding_openai('text-embedding-3-small', 4)";

fn slow_call(text: &str) -> String {
    format!("SELECT count(*) FROM ai.chunk_text({text}, 100, 0, '{SLOW}', true)")
}

/// The reason why the documents of a vectorizer were given up, once as many were.
#[track_caller]
fn reason_of(scene: &Scene, name: &str, failed: &str) -> String {
    let sql = format!(
        "SELECT count(*) || ' ' || coalesce(string_agg(DISTINCT details ->> 'error_reason', ' / '), '')
         FROM ai.vectorizer_errors JOIN ai.vectorizer ON ai.vectorizer.id = vectorizer_errors.id WHERE vectorizer.name = '{name}'"
    );
    wait_until(
        "the documents have failed",
        DEADLINE * 2,
        || scene.cluster.value(&sql),
        |seen| seen.starts_with(failed),
    )
}

/// A vectorizer of a table of its own.
fn create(scene: &Scene, name: &str, options: &str) {
    scene.cluster.execute(&format!(
        "CREATE TABLE {name} (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('{name}'::regclass, name => '{name}', loading => ai.loading_column('body'),
             embedding => {EMBEDDING}, {options})"
    ));
}

/// How long it takes a row of a table until it is embedded.
#[track_caller]
fn embed(scene: &Scene, table: &str, id: usize) -> Duration {
    let started = Instant::now();
    scene
        .cluster
        .execute(&format!("INSERT INTO {table} VALUES ({id}, 'short')"));
    let sql = format!("SELECT count(*) > 0 FROM {table}_embedding_store WHERE id = {id}");
    scene.cluster.wait_for("the row is embedded", &sql, "t");
    started.elapsed()
}

#[test]
fn a_session_is_heard_while_it_cuts() {
    let scene = Scene::start();
    // By an expression, and by a separator that is none, where the copies would be gigabytes.
    for call in [
        slow_call("repeat('a', 100000)"),
        "SELECT count(*) FROM ai.chunk_text_recursively(repeat(' ', 10000000), 1000000, 999999)".to_owned(),
    ] {
        let mut session = scene.cluster.connect().unwrap();
        session.batch_execute("SET statement_timeout = '300ms'").unwrap();
        let started = Instant::now();
        let error = session.simple_query(&call).unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{}", describe(&error));
        assert!(started.elapsed() < SOON, "{call} took {:?}", started.elapsed());
        // The session goes on.
        let rows = session
            .simple_query("SELECT count(*) FROM ai.chunk_text('a b')")
            .unwrap();
        assert!(!rows.is_empty());
    }
}

#[test]
fn a_session_that_cuts_can_be_ended_and_holds_up_no_stop() {
    let mut scene = Scene::start();
    let cuts = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%chunk_text%' AND pid <> pg_backend_pid()";
    let begin = |scene: &Scene| {
        let mut session = scene.cluster.connect().unwrap();
        let call = slow_call("repeat('a', 100000)");
        let thread = std::thread::spawn(move || session.simple_query(&call).is_err());
        let started = || scene.cluster.column(cuts);
        let pid = wait_until("it cuts", DEADLINE, started, |seen| !seen.is_empty()).remove(0);
        (pid, thread)
    };
    let (pid, thread) = begin(&scene);
    let started = Instant::now();
    scene.cluster.execute(&format!("SELECT pg_terminate_backend({pid})"));
    assert!(thread.join().unwrap(), "the session has ended");
    assert!(started.elapsed() < SOON, "it took {:?}", started.elapsed());

    let (_, thread) = begin(&scene);
    let started = Instant::now();
    scene.cluster.stop(Stop::Fast);
    assert!(started.elapsed() < SOON, "the stop took {:?}", started.elapsed());
    assert!(thread.join().unwrap());
}

#[test]
fn chunks_that_are_too_much_are_refused_in_a_session() {
    let scene = Scene::start();
    for (call, limit) in [
        // Copies of what the text does not hold: 300 MB of them.
        (
            "ai.chunk_text(repeat('a ', 40000), 10000, 9999, '\\s', true)",
            "chunk_overlap",
        ),
        // Chunks that the text holds, which are far more together than it is.
        (
            "ai.chunk_text_recursively(repeat('a', 1000000), 50000, 49999)",
            "chunk_overlap",
        ),
        // And many of them.
        ("ai.chunk_text_recursively(repeat('ab', 8000000), 1, 0)", "chunk_size"),
        // What is put between pieces is longer than they are.
        (
            "ai.chunk_text(repeat('a1', 60000), 100000, 0, '[0-9]' || repeat('(?:)', 5000), true)",
            "chunk_overlap",
        ),
    ] {
        let error = scene
            .cluster
            .try_rows(&format!("SELECT count(*) FROM {call}"))
            .unwrap_err();
        assert_eq!(
            error.code(),
            Some(&SqlState::PROGRAM_LIMIT_EXCEEDED),
            "{call}: {}",
            describe(&error)
        );
        assert!(describe(&error).contains(limit), "{call}: {}", describe(&error));
    }
}

#[test]
fn a_slow_separator_costs_its_owner_a_failure_and_nobody_else_a_moment() {
    let scene = Scene::start();
    create(
        &scene,
        "slow",
        &format!("chunking => ai.chunking_character_text_splitter(100, 0, '{SLOW}', true)"),
    );
    create(
        &scene,
        "other",
        "chunking => ai.chunking_recursive_character_text_splitter(100, 0)",
    );
    embed(&scene, "other", 0);
    scene
        .cluster
        .execute("INSERT INTO slow SELECT i, repeat('a', 200000) FROM generate_series(1, 4) i");
    for id in 1..20 {
        let took = embed(&scene, "other", id);
        assert!(took < SOON, "row {id} took {took:?}");
    }
    let reason = reason_of(&scene, "slow", "4 ");
    assert!(reason.contains("took longer than"), "{reason}");
    assert_eq!(
        scene.cluster.value("SELECT count(*) FROM ai._vectorizer_q_failed_1"),
        "4"
    );

    // What goes, goes at once.
    scene
        .cluster
        .execute("INSERT INTO slow SELECT i, repeat('a', 200000) FROM generate_series(11, 14) i");
    let cuts = "SELECT activity FROM ai.worker_status WHERE activity LIKE 'loading and parsing 4,%'";
    wait_until(
        "they are cut",
        DEADLINE,
        || scene.cluster.column(cuts),
        |seen| !seen.is_empty(),
    );
    let started = Instant::now();
    scene
        .cluster
        .execute("SELECT ai.drop_vectorizer('slow', drop_all => true)");
    assert!(started.elapsed() < SOON, "the drop took {:?}", started.elapsed());
    let took = embed(&scene, "other", 100);
    assert!(took < SOON, "the row took {took:?}");
}

/// Documents that wait for their turn to be cut have all the memory that there is, but for what is kept for others.
#[test]
fn many_slow_documents_leave_memory_to_others() {
    let scene = Scene::start_with(|options| options.setting("ai.max_memory", "32MB"));
    for (name, chunking) in [
        (
            "slow",
            format!("ai.chunking_character_text_splitter(100, 0, '{SLOW}', true)"),
        ),
        // In a thread.
        (
            "blank",
            "ai.chunking_recursive_character_text_splitter(200000, 199999)".to_owned(),
        ),
        (
            "other",
            "ai.chunking_recursive_character_text_splitter(100, 0)".to_owned(),
        ),
    ] {
        create(&scene, name, &format!("chunking => {chunking}"));
    }
    scene.cluster.execute(
        "INSERT INTO slow SELECT i, repeat('a', 200000) FROM generate_series(1, 300) i;
         INSERT INTO blank SELECT i, repeat(' ', 400000) FROM generate_series(1, 300) i",
    );
    let cuts = "SELECT activity FROM ai.worker_status WHERE activity LIKE 'loading and parsing ___,%'";
    wait_until(
        "they are cut",
        DEADLINE,
        || scene.cluster.column(cuts),
        |seen| !seen.is_empty(),
    );
    for id in 0..10 {
        let took = embed(&scene, "other", id);
        assert!(took < SOON, "row {id} took {took:?}");
    }
    let failed = "SELECT count(*) < 100 FROM ai.vectorizer_errors";
    assert_eq!(scene.cluster.value(failed), "t", "it was not the last");
}

#[test]
fn a_worker_that_cuts_holds_up_no_stop() {
    let mut scene = Scene::start();
    for (name, chunking) in [
        (
            "apart",
            format!("ai.chunking_character_text_splitter(100, 0, '{SLOW}', true)"),
        ),
        (
            "beside",
            "ai.chunking_recursive_character_text_splitter(1000000, 999999)".to_owned(),
        ),
    ] {
        create(&scene, name, &format!("chunking => {chunking}"));
    }
    scene.cluster.execute(
        "INSERT INTO apart SELECT i, repeat('a', 200000) FROM generate_series(1, 4) i;
         INSERT INTO beside SELECT i, repeat(' ', 10000000) FROM generate_series(1, 4) i",
    );
    let cuts = "SELECT activity FROM ai.worker_status WHERE activity LIKE 'loading and parsing 8,%'";
    wait_until(
        "they are cut",
        DEADLINE,
        || scene.cluster.column(cuts),
        |seen| !seen.is_empty(),
    );
    let started = Instant::now();
    scene.cluster.stop(Stop::Fast);
    assert!(started.elapsed() < SOON, "the stop took {:?}", started.elapsed());
}

#[test]
fn an_expression_that_is_too_much_by_itself_is_refused() {
    let scene = Scene::start();
    scene
        .cluster
        .execute("CREATE TABLE note (id int PRIMARY KEY, body text)");
    for expression in [
        "(?:a{1000}){1000}",
        "(?:(?:a{100}){100}){100}(?=b)",
        &"(?:".repeat(5000),
        &format!("{}a{}", "(?:".repeat(5000), ")".repeat(5000)),
        &"a|".repeat(40_000),
    ] {
        let started = Instant::now();
        for call in [
            format!("SELECT * FROM ai.chunk_text('ab', 10, 0, '{expression}x', true)"),
            format!(
                "SELECT ai.create_vectorizer('note'::regclass, loading => ai.loading_column('body'), embedding => {EMBEDDING},
                     chunking => ai.chunking_character_text_splitter(100, 0, '{expression}x', true))"
            ),
        ] {
            let error = scene.cluster.try_rows(&call).err();
            let state = error.as_ref().and_then(|error| error.code().cloned());
            let known = [SqlState::INVALID_PARAMETER_VALUE, SqlState::PROGRAM_LIMIT_EXCEEDED];
            assert!(
                state.as_ref().is_some_and(|state| known.contains(state)),
                "{:.40}: {}",
                expression,
                error.map_or("it was taken".to_owned(), |error| describe(&error))
            );
        }
        assert!(
            started.elapsed() < 2 * SOON,
            "{expression:.40} took {:?}",
            started.elapsed()
        );
    }
}

#[test]
fn what_a_configuration_multiplies_a_text_to_fails_the_document() {
    let scene = Scene::start_with(|options| {
        options
            .setting("ai.max_document_size", "4MB")
            .setting("ai.idle_timeout", "10min")
    });
    create(&scene, "plain", "chunking => ai.chunking_none()");
    embed(&scene, "plain", 1);
    let worker = scene.cluster.wait_for_worker();
    let before = peak(worker);
    // Copies, chunks of one character, a column and a chunk that a template repeats, and all chunks together.
    create(
        &scene,
        "copies",
        r"chunking => ai.chunking_character_text_splitter(10000, 9999, '\s', true)",
    );
    create(
        &scene,
        "many",
        "chunking => ai.chunking_recursive_character_text_splitter(1, 0)",
    );
    create(
        &scene,
        "repeated",
        "chunking => ai.chunking_none(), formatting => ai.formatting_python_template(repeat('$chunk', 900))",
    );
    create(
        &scene,
        "column_repeated",
        "chunking => ai.chunking_recursive_character_text_splitter(100, 0),
         formatting => ai.formatting_python_template('$chunk' || repeat(' $body', 900))",
    );
    create(
        &scene,
        "together",
        "chunking => ai.chunking_recursive_character_text_splitter(100, 0),
         formatting => ai.formatting_python_template('$body $chunk')",
    );
    create(
        &scene,
        "overlapping",
        "chunking => ai.chunking_recursive_character_text_splitter(50000, 49999)",
    );
    for (name, text) in [
        ("copies", "repeat('a ', 40000)"),
        ("many", "repeat('ab', 1500000)"),
        ("repeated", "repeat('ab', 10000)"),
        ("column_repeated", "repeat('ab', 10000)"),
        ("together", "repeat('ab', 400000)"),
        ("overlapping", "repeat('a', 1000000)"),
    ] {
        scene.cluster.execute(&format!("INSERT INTO {name} VALUES (1, {text})"));
        let reason = reason_of(&scene, name, "1 ");
        println!("{name}: {reason}");
        assert!(
            ["chunk_size", "chunk_overlap", "template"]
                .iter()
                .any(|word| reason.contains(word)),
            "{name}: {reason}"
        );
        embed(&scene, name, 2);
    }
    assert_eq!(scene.cluster.wait_for_worker(), worker, "the worker lives");
    let grown = peak(worker) - before;
    // Of the 256 MiB of ai.max_memory.
    assert!(grown < 256, "the worker grew by {grown} MiB");
    let refused = scene.cluster.refusal(
        "CREATE TABLE note (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('note'::regclass, loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 4),
             formatting => ai.formatting_python_template(repeat('$chunk', 100000)))",
    );
    assert!(refused.1.contains("the template has 600000 bytes"), "{refused:?}");
}

/// The most memory that a process has had, in MiB.
fn peak(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
