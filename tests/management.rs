//! When a vectorizer works: at once, at intervals, when asked, or not at all.

mod support;

use support::{Options, Scene};

/// Two tables with a vectorizer each: `note` as `scheduling` says, and `witness`, which is worked on at once.
fn scene(scheduling: &str) -> Scene {
    let scene = Scene::start_with(|options: Options| options.setting("ai.idle_timeout", "100ms"));
    for (table, scheduling) in [("note", scheduling), ("witness", "ai.scheduling_default()")] {
        scene
            .cluster
            .execute(&format!("CREATE TABLE {table} (id int PRIMARY KEY, body text)"));
        scene.cluster.execute(&format!(
            "SELECT ai.create_vectorizer('{table}', name => '{table}', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8), scheduling => {scheduling})"
        ));
    }
    scene
}

/// Adds a note.
fn add(scene: &Scene, id: usize) {
    scene
        .cluster
        .execute(&format!("INSERT INTO note VALUES ({id}, 'note {id}')"));
}

/// Waits until the notes up to this one are embedded.
#[track_caller]
fn wait_for(scene: &Scene, notes: usize) {
    let embedded = "SELECT count(*) FROM note_embedding";
    scene
        .cluster
        .wait_for("the notes are embedded", embedded, &notes.to_string());
    scene
        .cluster
        .wait_for("the queue is empty", "SELECT ai.vectorizer_queue_pending('note')", "0");
}

/// Checks that a worker which was there since did not touch the notes: so many wait, and so many are embedded.
#[track_caller]
fn assert_left_alone(scene: &Scene, waiting: usize, embedded: usize) {
    let row = "INSERT INTO witness SELECT count(*), 'seen' FROM witness";
    scene.cluster.execute(row);
    scene.cluster.wait_for(
        "the witness is embedded",
        "SELECT count(*) = (SELECT count(*) FROM witness) FROM witness_embedding",
        "t",
    );
    let counts = "SELECT ai.vectorizer_queue_pending('note'), (SELECT count(*) FROM note_embedding)";
    let expected = [waiting, embedded].map(|count| count.to_string());
    assert_eq!(scene.cluster.rows(counts), [expected]);
}

fn reason(scene: &Scene) -> String {
    let sql = "SELECT reason FROM ai.worker_status WHERE process = 'vectorizer' AND vectorizer = 'note'";
    scene.cluster.value(sql)
}

#[test]
fn without_a_schedule_the_queue_waits_until_somebody_asks() {
    let scene = scene("ai.scheduling_none()");
    add(&scene, 1);
    add(&scene, 2);
    assert_left_alone(&scene, 2, 0);
    assert_eq!(
        reason(&scene),
        "the vectorizer waits for ai.execute_vectorizer: it was made with ai.scheduling_none()"
    );
    // Asked for in a transaction that is rolled back: nothing was asked for.
    scene
        .cluster
        .execute("BEGIN; SELECT ai.execute_vectorizer('note'); ROLLBACK");
    assert_left_alone(&scene, 2, 0);
    scene.cluster.execute("SELECT ai.execute_vectorizer('note')");
    wait_for(&scene, 2);
    // Once is once: until the queue is dry.
    let runs = "SELECT count(*) FROM ai._vectorizer_run";
    scene.cluster.wait_for("the run has ended", runs, "0");
    add(&scene, 3);
    assert_left_alone(&scene, 1, 2);
    scene.cluster.execute("SELECT ai.execute_vectorizer(1)");
    wait_for(&scene, 3);
}

#[test]
fn what_is_disabled_queues_and_catches_up() {
    let scene = scene("ai.scheduling_default()");
    add(&scene, 1);
    wait_for(&scene, 1);
    for (disable, enable, id) in [
        (
            "ai.disable_vectorizer_schedule('note')",
            "ai.enable_vectorizer_schedule('note')",
            2,
        ),
        (
            "ai.disable_vectorizer_schedule(1)",
            "ai.enable_vectorizer_schedule(1)",
            3,
        ),
    ] {
        scene.cluster.execute(&format!("SELECT {disable}"));
        add(&scene, id);
        assert_left_alone(&scene, 1, id - 1);
        assert_eq!(reason(&scene), "the vectorizer is disabled");
        scene.cluster.execute(&format!("SELECT {enable}"));
        wait_for(&scene, id);
    }
    // Who asks by name is served all the same.
    scene.cluster.execute("SELECT ai.disable_vectorizer_schedule('note')");
    add(&scene, 4);
    scene.cluster.execute("SELECT ai.execute_vectorizer('note')");
    wait_for(&scene, 4);
}

#[test]
fn intervals_are_kept() {
    // The first run is at once, the next in an hour.
    let scene = scene("ai.scheduling_timescaledb('1 hour')");
    let next = "SELECT date_trunc('minute', next_run - now() + interval '30 s') FROM ai._vectorizer_run WHERE id = 1";
    scene.cluster.wait_for("the first run is over", next, "01:00:00");
    add(&scene, 1);
    assert_left_alone(&scene, 1, 0);
    assert!(reason(&scene).starts_with("the next run is at "), "{}", reason(&scene));
    // Who cannot wait so long asks.
    scene.cluster.execute("SELECT ai.execute_vectorizer('note')");
    wait_for(&scene, 1);
    scene.cluster.wait_for("the schedule goes on", next, "01:00:00");
    // A short interval comes again and again.
    scene
        .cluster
        .execute("SELECT ai.set_scheduling(1, ai.scheduling_timescaledb('200 ms'))");
    for id in 2..5 {
        add(&scene, id);
        wait_for(&scene, id);
    }
    scene
        .cluster
        .execute("SELECT ai.set_scheduling(1, ai.scheduling_none())");
    add(&scene, 5);
    assert_left_alone(&scene, 1, 4);
    scene
        .cluster
        .execute("SELECT ai.set_scheduling(1, ai.scheduling_default())");
    wait_for(&scene, 5);
    let scheduling = "SELECT config #>> '{scheduling,implementation}' FROM ai.vectorizer WHERE id = 1";
    assert_eq!(scene.cluster.value(scheduling), "default");
    assert_eq!(scene.cluster.value("SELECT count(*) FROM ai._vectorizer_run"), "0");
}

#[test]
fn the_first_run_is_when_the_schedule_says() {
    let scene = scene("ai.scheduling_timescaledb('1 s', initial_start => now() + interval '1 hour')");
    add(&scene, 1);
    assert_left_alone(&scene, 1, 0);
    let start = "SELECT next_run = (config #>> '{scheduling,initial_start}')::timestamptz
                 FROM ai._vectorizer_run r JOIN ai.vectorizer v USING (id)";
    assert_eq!(scene.cluster.value(start), "t");
    scene.cluster.execute(
        "SELECT ai.set_scheduling(1, ai.scheduling_timescaledb('1 hour', initial_start => now() - interval '1 s'))",
    );
    wait_for(&scene, 1);
}

#[test]
fn a_fixed_schedule_keeps_to_its_start_and_its_time_zone() {
    let scene = scene("ai.scheduling_none()");
    let fixed = |interval: &str, start: &str, zone: &str| {
        scene.cluster.execute(&format!(
            "SELECT ai.set_scheduling(1, ai.scheduling_timescaledb('{interval}', '{start}', true, '{zone}'))"
        ));
        let planned = "SELECT count(*) FROM ai._vectorizer_run WHERE next_run > now()";
        scene.cluster.wait_for("the next run is planned", planned, "1");
    };
    let next = |what: &str| {
        scene
            .cluster
            .value(&format!("SELECT {what} FROM ai._vectorizer_run WHERE id = 1"))
    };
    // One of the starts is in summer time and one is not, whatever it is now: at three o'clock both.
    for start in ["2025-01-15 03:00 Europe/Berlin", "2025-07-15 03:00 Europe/Berlin"] {
        for (interval, within) in [
            ("1 day", "1 day 1 hour"),
            ("1 month", "32 days"),
            ("7 days", "7 days 1 hour"),
        ] {
            fixed(interval, start, "Europe/Berlin");
            assert_eq!(
                next("(next_run AT TIME ZONE 'Europe/Berlin')::time"),
                "03:00:00",
                "{interval} {start}"
            );
            assert_eq!(
                next(&format!("next_run <= now() + interval '{within}'")),
                "t",
                "{interval} {start}"
            );
        }
        let weekday = format!(
            "extract(dow FROM next_run AT TIME ZONE 'Europe/Berlin') = extract(dow FROM timestamptz '{start}' AT TIME ZONE 'Europe/Berlin')"
        );
        assert_eq!(next(&weekday), "t");
    }
    // A short interval of old age: in step with its start, and soon.
    let start = "2001-02-03 04:05:06.5 UTC";
    fixed("7 s", start, "Europe/Berlin");
    let phase = "extract(epoch FROM next_run - timestamptz '2001-02-03 04:05:06.5 UTC') % 7 = 0";
    assert_eq!(next(phase), "t");
    assert_eq!(next("next_run <= now() + interval '7 s'"), "t");
    // Not fixed: an interval after the end of the last run.
    scene.cluster.execute(&format!(
        "SELECT ai.set_scheduling(1, ai.scheduling_timescaledb('1 day', '{start}', false, 'Europe/Berlin'))"
    ));
    scene.cluster.wait_for(
        "the run is over",
        "SELECT count(*) FROM ai._vectorizer_run WHERE next_run > now() + interval '23 hours'",
        "1",
    );
    let no_step = "SELECT next_run - now() BETWEEN interval '23 hours' AND interval '1 day' FROM ai._vectorizer_run";
    assert_eq!(scene.cluster.value(no_step), "t");
}

#[test]
fn waiting_ends_when_the_queue_is_empty_or_the_time_is_up() {
    let scene = scene("ai.scheduling_none()");
    add(&scene, 1);
    let wait = scene.cluster.data().join("wait.sql");
    let said = |timeout: &str| {
        let sql = format!("SELECT ai.wait_for_vectorizer('note', '{timeout}');");
        std::fs::write(&wait, sql).expect("the folder of the cluster can be written to");
        scene.cluster.psql("postgres", &wait)
    };
    let (answer, notice) = said("100 ms");
    assert_eq!(answer, "f\n");
    let obstacle = "vectorizer note still has 1 documents to do: the vectorizer waits for ai.execute_vectorizer";
    assert!(notice.contains(obstacle), "{notice}");
    scene.cluster.execute("SELECT ai.execute_vectorizer('note')");
    assert_eq!(said("1 minute"), ("t\n".to_owned(), String::new()));
    assert_eq!(scene.cluster.value("SELECT count(*) FROM note_embedding"), "1");
}

#[test]
fn what_is_not_given_to_set_scheduling_stays() {
    let scene = scene("ai.scheduling_timescaledb('1 hour')");
    let cluster = &scene.cluster;
    let next = "SELECT count(*) FROM ai._vectorizer_run WHERE next_run > now() + interval '1 minute'";
    cluster.wait_for("the first run is over", next, "1");
    let kept = "SELECT (config #>> '{scheduling,schedule_interval}') || ' ' || (config #>> '{indexing,implementation}')
                FROM ai.vectorizer WHERE id = 1";
    let planned = cluster.value("SELECT next_run FROM ai._vectorizer_run");
    cluster.execute("SELECT ai.set_scheduling(1, indexing => ai.indexing_hnsw())");
    assert_eq!(cluster.value(kept), "01:00:00 hnsw");
    assert_eq!(cluster.value("SELECT next_run FROM ai._vectorizer_run"), planned);
    cluster.execute("SELECT ai.set_scheduling(1, ai.scheduling_timescaledb('2 hours'))");
    assert_eq!(cluster.value(kept), "02:00:00 hnsw");
    cluster.execute("SELECT ai.set_scheduling(1)");
    assert_eq!(cluster.value(kept), "02:00:00 hnsw");
    // Both are checked together, whichever is given.
    for (call, code) in [
        ("ai.set_scheduling(1, ai.scheduling_none())", "P0001"),
        (
            "ai.set_scheduling(2, indexing => ai.indexing_hnsw()) FROM (SELECT ai.set_scheduling(2, ai.scheduling_none())) AS s",
            "P0001",
        ),
    ] {
        let (refused, message) = cluster.refusal(&format!("SELECT {call}"));
        assert_eq!(refused, code, "{message}");
    }
    assert_eq!(cluster.value(kept), "02:00:00 hnsw");
}

/// The worker sees nothing of it before the commit: the time would be up, and nobody would know why.
#[test]
fn waiting_in_the_writing_transaction_is_an_error() {
    let scene = scene("ai.scheduling_default()");
    let cluster = &scene.cluster;
    add(&scene, 1);
    wait_for(&scene, 1);
    let wait = "SELECT ai.wait_for_vectorizer('note', '1 minute')";
    for mine in [
        "INSERT INTO note VALUES (2, 'two')",
        "UPDATE note SET body = 'other' WHERE id = 1",
        "UPDATE note SET id = 7 WHERE id = 1",
        "SAVEPOINT inner_one; INSERT INTO note VALUES (2, 'two'); RELEASE inner_one",
        "DO $$ BEGIN INSERT INTO note VALUES (2, 'two'); EXCEPTION WHEN OTHERS THEN NULL; END $$",
        "DELETE FROM note_embedding_store; SELECT count(*) FROM ai.verify_vectorizer('note', true)",
        "SELECT ai.drop_vectorizer('note', drop_all => true);
         SELECT ai.create_vectorizer('note', name => 'note', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    ] {
        let began = std::time::Instant::now();
        let (code, message) = cluster.refusal(&format!("BEGIN; {mine}; {wait}"));
        cluster.execute("ROLLBACK");
        assert_eq!(code, "25001", "{mine}: {message}");
        assert!(began.elapsed() < support::DEADLINE, "{mine}");
    }
    // What others have committed is not theirs, however much they have written elsewhere.
    scene.cluster.execute("SELECT ai.disable_vectorizer_schedule('note')");
    add(&scene, 2);
    let unrelated = "BEGIN; INSERT INTO witness VALUES (5, 'mine'); SELECT ai.wait_for_vectorizer('note', '100 ms')";
    cluster.execute(unrelated);
    cluster.execute("ROLLBACK");
    // A lock of a table is as much in the way.
    let (code, message) = cluster.refusal(&format!(
        "BEGIN; CREATE INDEX ON note_embedding_store (chunk_seq); {wait}"
    ));
    cluster.execute("ROLLBACK");
    assert_eq!(code, "25001", "{message}");
    scene.cluster.execute("SELECT ai.enable_vectorizer_schedule('note')");
    cluster.execute(wait);
    wait_for(&scene, 2);
}
