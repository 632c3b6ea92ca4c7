//! A look at the views, whatever an owner has made of her queues: it is hers that is not shown, and nobody else's.

mod support;

use std::time::{Duration, Instant};

use support::lair::{by, lair};
use support::{DEADLINE, Scene, wait_until};

/// Two vectorizers whose keys are texts: mallory's, which is disabled, and ann's, with one failed document each.
fn with_two() -> Scene {
    let scene = lair();
    for (role, schema) in [("mallory", "m"), ("ann", "a")] {
        by(
            &scene,
            role,
            &format!(
                "CREATE TABLE {schema}.doc (k text PRIMARY KEY, body text);
                 SELECT ai.create_vectorizer('{schema}.doc', name => '{schema}_docs', loading => ai.loading_column('body'),
                     embedding => ai.embedding_openai('text-embedding-3-small', 4),
                     queue_schema => '{schema}');
                 SELECT ai.disable_vectorizer_schedule('{schema}_docs');
                 INSERT INTO {schema}.doc VALUES ('one', 'a text')"
            ),
        );
    }
    by(&scene, "mallory", "INSERT INTO m._vectorizer_q_failed_1 VALUES ('bad')");
    by(&scene, "ann", "INSERT INTO a._vectorizer_q_failed_2 VALUES ('good')");
    scene
}

/// What a superuser sees of ann's, and how long it took to look at all.
fn look(scene: &Scene, what: &str) -> Duration {
    let began = Instant::now();
    let failed = "SELECT primary_key ->> 'k' FROM ai.vectorizer_failed WHERE name = 'a_docs'";
    assert_eq!(scene.cluster.column(failed), ["good"], "{what}");
    scene.cluster.execute("SELECT * FROM ai.vectorizer_failed");
    let pending = "SELECT pending_items FROM ai.vectorizer_status WHERE name = 'a_docs'";
    assert_eq!(scene.cluster.value(pending), "1", "{what}");
    let activity = "SELECT activity FROM ai.worker_status WHERE vectorizer = 'a_docs'";
    assert_eq!(scene.cluster.value(activity), "1 documents pending", "{what}");
    began.elapsed()
}

/// Why the worker does nothing for mallory's.
fn reason(scene: &Scene) -> String {
    let reason = "SELECT coalesce(reason, '') FROM ai.worker_status WHERE vectorizer = 'm_docs'";
    scene.cluster.value(reason)
}

const ENABLE: &str = "SELECT ai.enable_vectorizer_schedule('m_docs')";

/// Values that the type of the key has not, in a table that is still called a queue.
#[test]
fn rows_of_another_shape_hide_nothing_of_others() {
    let shapes = [
        "ALTER TABLE m._vectorizer_q_failed_1 DROP CONSTRAINT _vectorizer_q_failed_1_pkey, ALTER k TYPE json USING '\"\\u0000\"'",
        "ALTER TABLE m._vectorizer_q_failed_1 ALTER created_at TYPE text USING 'never'",
        "ALTER TABLE m._vectorizer_q_failed_1 ALTER attempts TYPE numeric USING 1e1000",
        "CREATE TYPE m.odd AS ENUM ('bad', 'one');
         ALTER TABLE m._vectorizer_q_failed_1 ALTER k TYPE m.odd USING k::m.odd",
        "ALTER TABLE m._vectorizer_intake_1 ALTER k TYPE int USING 1",
        "ALTER TABLE m._vectorizer_intake_1 DROP k",
        "ALTER TABLE m._vectorizer_q_1 ALTER version TYPE numeric",
        "ALTER TABLE m._vectorizer_q_1 ALTER k TYPE varchar(3)",
        "ALTER TABLE m._vectorizer_q_1 DROP lease_expires_at",
    ];
    for shape in shapes {
        let scene = with_two();
        by(&scene, "mallory", shape);
        look(&scene, shape);
        // The worker says why it leaves such a vectorizer alone.
        by(&scene, "mallory", ENABLE);
        wait_until(
            shape,
            DEADLINE,
            || reason(&scene),
            |reason| reason.contains("is not as it was made") || reason.contains("has no column"),
        );
        look(&scene, shape);
    }
}

/// Keys of any size, and any number of them.
#[test]
fn keys_of_any_size_hold_up_nobody() {
    let scene = with_two();
    // Much of it on disk is nothing: it takes long to take apart.
    for table in ["m._vectorizer_intake_1", "m._vectorizer_q_failed_1"] {
        let drop = "ALTER TABLE m._vectorizer_q_failed_1 DROP CONSTRAINT IF EXISTS _vectorizer_q_failed_1_pkey";
        by(
            &scene,
            "mallory",
            &format!(
                "{drop}; INSERT INTO {table} SELECT repeat('abcdefgh', 10000000) || g FROM generate_series(1, 6) g"
            ),
        );
    }
    let took = look(&scene, "keys of 80 MB");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let shown = "SELECT max(length(primary_key::text)) < 10000 FROM ai.vectorizer_failed WHERE name = 'm_docs'";
    assert_eq!(scene.cluster.value(shown), "t");
    // Very many that are alike: each has to be looked at.
    by(
        &scene,
        "mallory",
        "TRUNCATE m._vectorizer_intake_1; INSERT INTO m._vectorizer_intake_1 SELECT 'same' FROM generate_series(1, 3000000)",
    );
    let took = look(&scene, "very many keys");
    assert!(took < Duration::from_secs(20), "{took:?}");
    let told = "SELECT coalesce(ai._pending_items(1), -1) || ': ' || coalesce(ai._waiting(1), '')";
    let told = scene.cluster.value(told);
    // In a fast build they may be counted in time.
    assert!(
        [
            "-1: its queue takes too long to read: how many documents wait is unknown",
            "2: "
        ]
        .contains(&told.as_str()),
        "{told}"
    );
}

/// A value that takes few bytes may be many digits, or longer than JSON takes.
#[test]
fn long_keys_are_shown_in_part() {
    let scene = lair();
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.doc (k numeric[] PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('m.doc', name => 'm_docs', loading => ai.loading_column('body'), queue_schema => 'm',
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         INSERT INTO m._vectorizer_q_failed_1 VALUES (array_fill(1e131071, '{2000}'::int[])), ('{1,2}')",
    );
    let keys = "SELECT primary_key::text FROM ai.vectorizer_failed ORDER BY length(primary_key::text)";
    let keys = scene.cluster.column(keys);
    assert_eq!(keys[0], "{\"k\": [1, 2]}");
    assert!(keys[1].len() < 200 && keys[1].contains("bytes)"), "{}", keys[1]);
}

/// Pages come and go while a monitor looks.
#[test]
fn a_table_that_is_emptied_breaks_no_look() {
    let scene = with_two();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let database = scene.cluster.database("postgres");
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                database.execute(
                    "SET SESSION AUTHORIZATION mallory;
                     INSERT INTO m._vectorizer_q_failed_1 (k, reason) SELECT g, repeat('x', 2000) FROM generate_series(1, 4000) g",
                );
                std::thread::sleep(Duration::from_millis(30));
                database.execute("TRUNCATE m._vectorizer_q_failed_1; INSERT INTO m._vectorizer_q_failed_1 VALUES ('bad')");
                std::thread::sleep(Duration::from_millis(20));
                database.execute("DELETE FROM m._vectorizer_q_failed_1");
            }
        });
        let began = Instant::now();
        let mut refused = None;
        while began.elapsed() < Duration::from_secs(8) && refused.is_none() {
            let looked = scene
                .cluster
                .try_rows("SELECT count(*) FROM ai.vectorizer_failed WHERE reason <> ''");
            refused = looked.err();
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(refused.is_none(), "{refused:?}");
    });
    look(&scene, "a table that was emptied");
}

/// More rows than are in memory at a time are all shown, each once.
#[test]
fn all_failed_documents_are_shown_once() {
    let scene = with_two();
    by(
        &scene,
        "ann",
        "INSERT INTO a._vectorizer_q_failed_2 (k, reason) SELECT g, repeat('x', g % 900) FROM generate_series(1, 9000) g;
         DELETE FROM a._vectorizer_q_failed_2 WHERE k ~ '7$'",
    );
    let counted = "SELECT count(*) || ' of ' || count(DISTINCT primary_key::text) FROM ai.vectorizer_failed WHERE name = 'a_docs'";
    assert_eq!(scene.cluster.value(counted), "8101 of 8101");
}
