//! An owner's code that is slow for each of many documents: it has a turn in each round of the worker, and no more.

mod support;

use std::time::{Duration, Instant};

use support::lair::{by, lair, vectorize};
use support::{DEADLINE, Scene, wait_until};

/// Ann's row may have to wait for a few turns of mallory's, each of which is shorter than half a second. All
/// that mallory has to do takes many times as long, and would not be interrupted.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ann and mallory, and a function of mallory's that takes its time.
fn slow(vectorizers: &[&str]) -> Scene {
    let scene = lair();
    vectorize(&scene, "ann", "a", "honest");
    for name in vectorizers {
        vectorize(&scene, "mallory", "m", name);
    }
    by(
        &scene,
        "mallory",
        "CREATE FUNCTION m.nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.4); RETURN coalesce(NEW, OLD); END $$;
         CREATE FUNCTION m.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.4); RAISE 'not this one'; END $$",
    );
    wait_for_ann(&scene, 0);
    scene
}

/// How long until a row of ann is embedded.
fn wait_for_ann(scene: &Scene, id: usize) -> Duration {
    let began = Instant::now();
    by(scene, "ann", &format!("INSERT INTO a.honest VALUES ({id}, 'fine')"));
    let honest = format!("SELECT count(*) FROM a.honest_embedding_store WHERE id = {id}");
    scene.cluster.wait_for("ann's row", &honest, "1");
    began.elapsed()
}

/// Some rows of ann's, while mallory's code is at work.
#[track_caller]
fn ann_goes_on(scene: &Scene, what: &str) {
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ai worker' AND wait_event = 'PgSleep'";
    scene.cluster.wait_for(what, asleep, "1");
    let waits: Vec<Duration> = (1..=3).map(|id| wait_for_ann(scene, id)).collect();
    println!("{what}: {waits:?}");
    assert!(waits.iter().all(|wait| *wait < PATIENCE), "{what}: {waits:?}");
}

/// Each of them is settled in a transaction of its own.
#[test]
fn documents_that_fail_one_by_one_are_settled_by_turns() {
    let scene = slow(&[]);
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.rubbish (id int PRIMARY KEY, body bytea);
         SELECT ai.create_vectorizer('m.rubbish', name => 'rubbish', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         CREATE TRIGGER nap AFTER INSERT ON ai._vectorizer_q_failed_2 FOR EACH STATEMENT EXECUTE FUNCTION m.nap();
         INSERT INTO m.rubbish SELECT g, decode('00ff00ff', 'hex') FROM generate_series(1, 100) g",
    );
    ann_goes_on(&scene, "failed documents");
    // And none of them is lost.
    by(&scene, "mallory", "DROP TRIGGER nap ON ai._vectorizer_q_failed_2");
    let failed = "SELECT count(*) FROM ai._vectorizer_q_failed_2";
    scene.cluster.wait_for("all have failed", failed, "100");
}

/// A batch that the database refuses is written one by one.
#[test]
fn documents_that_are_refused_one_by_one_are_written_by_turns() {
    let scene = slow(&["doc"]);
    by(
        &scene,
        "mallory",
        "CREATE TRIGGER refuse BEFORE INSERT ON m.doc_embedding_store FOR EACH ROW EXECUTE FUNCTION m.refuse();
         INSERT INTO m.doc SELECT g, 'text ' || g FROM generate_series(1, 100) g",
    );
    ann_goes_on(&scene, "refused documents");
    by(
        &scene,
        "mallory",
        "DROP TRIGGER refuse ON m.doc_embedding_store; SELECT ai.retry_vectorizer('doc')",
    );
    // Those that fail meanwhile are asked for, too.
    let written = || {
        scene.cluster.value("SELECT ai.retry_vectorizer('doc')");
        scene.cluster.value("SELECT count(*) FROM m.doc_embedding_store")
    };
    wait_until("mended, all are written", DEADLINE, written, |now| now == "100");
}

/// Documents that are taken together and cannot be read together are read one by one, and given back where a
/// turn is too short.
#[test]
fn documents_that_cannot_be_read_together_are_read_by_turns() {
    let scene = slow(&[]);
    by(
        &scene,
        "mallory",
        "CREATE TYPE m.mood AS ENUM ('good', 'bad');
         CREATE FUNCTION m.to_text(mood m.mood) RETURNS text LANGUAGE plpgsql AS
             $$ BEGIN
                 IF mood = 'bad' THEN RAISE 'not this one'; END IF;
                 PERFORM pg_sleep(0.05);
                 RETURN 'good';
             END $$;
         CREATE CAST (m.mood AS text) WITH FUNCTION m.to_text(m.mood);
         CREATE TABLE m.doc (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('m.doc', name => 'doc', loading => ai.loading_column('body'),
             chunking => ai.chunking_none(), embedding => ai.embedding_openai('text-embedding-3-small', 4));
         DROP VIEW m.doc_embedding;
         ALTER TABLE m.doc ALTER body TYPE m.mood USING 'good';
         INSERT INTO m.doc SELECT g, CASE WHEN g = 10 THEN 'bad' ELSE 'good' END::m.mood FROM generate_series(1, 30) g",
    );
    ann_goes_on(&scene, "documents that are read");
    let there = "SELECT count(*) FROM m.doc_embedding_store";
    scene.cluster.wait_for("all that can be read", there, "29");
    let failed = "SELECT primary_key ->> 'id' FROM ai.vectorizer_errors WHERE name = 'doc' AND primary_key IS NOT NULL";
    scene.cluster.wait_for("and the other has failed", failed, "10");
}

/// Each of many statements of one owner is short.
#[test]
fn documents_are_taken_by_turns() {
    let scene = slow(&["doc", "memo", "note"]);
    for (table, queue) in [("doc", 2), ("memo", 3), ("note", 4)] {
        by(
            &scene,
            "mallory",
            &format!(
                "CREATE TRIGGER nap BEFORE UPDATE ON ai._vectorizer_q_{queue} FOR EACH STATEMENT EXECUTE FUNCTION m.nap();
                 INSERT INTO m.{table} SELECT g, 'text ' || g FROM generate_series(1, 300) g"
            ),
        );
    }
    ann_goes_on(&scene, "documents that are taken");
    let there = "SELECT (SELECT count(*) FROM m.doc_embedding_store) + (SELECT count(*) FROM m.memo_embedding_store)
                     + (SELECT count(*) FROM m.note_embedding_store)";
    scene.cluster.wait_for("all", there, "900");
}

/// A queue whose owner needs longer to take documents than a turn may take, and documents that fail: all are
/// worked on in the end.
#[test]
fn what_is_taken_in_a_long_turn_is_read_in_the_same() {
    let scene = slow(&["doc"]);
    by(
        &scene,
        "mallory",
        "CREATE FUNCTION m.long() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END $$;
         CREATE TRIGGER nap AFTER UPDATE ON ai._vectorizer_q_2 FOR EACH STATEMENT EXECUTE FUNCTION m.long();
         INSERT INTO m.doc VALUES (1, 'one')",
    );
    let there = "SELECT count(*) FROM m.doc_embedding_store";
    scene.cluster.wait_for("it is embedded all the same", there, "1");
}
