//! What code of an owner (a trigger, say) does in the worker, which serves everybody: it ends nobody's work but its own.

mod support;

use support::lair::{by, lair, vectorize};
use support::{DEADLINE, Scene, wait_until};

/// A trigger of mallory on a destination, or on another table of hers.
fn trap(scene: &Scene, table: &str, body: &str) {
    by(
        scene,
        "mallory",
        &format!(
            "CREATE OR REPLACE FUNCTION m.trap() RETURNS trigger LANGUAGE plpgsql AS $trap$ {body} $trap$;
             DROP TRIGGER IF EXISTS trap ON {table};
             CREATE TRIGGER trap BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION m.trap()"
        ),
    );
}

/// A row of ann, which is embedded, by the worker with this number where one is given.
#[track_caller]
fn ann_goes_on(scene: &Scene, what: &str, id: usize, worker: Option<i32>) {
    by(scene, "ann", &format!("INSERT INTO a.honest VALUES ({id}, 'fine')"));
    let honest = format!("SELECT count(*) FROM a.honest_embedding_store WHERE id = {id}");
    scene.cluster.wait_for(&format!("ann's row after {what}"), &honest, "1");
    if worker.is_some() {
        assert_eq!(scene.cluster.worker(), worker, "after {what}: {}", scene.cluster.log());
    }
}

/// Each of these would end the process with the error that follows, or by itself.
#[test]
fn no_setting_turns_an_error_into_the_end_of_the_worker() {
    let scene = lair();
    vectorize(&scene, "ann", "a", "honest");
    vectorize(&scene, "mallory", "m", "doc");
    ann_goes_on(&scene, "the beginning", 0, None);
    let worker = scene.cluster.worker();
    let mut attacks = vec![
        "BEGIN SET exit_on_error = on; RAISE EXCEPTION 'out'; END",
        "BEGIN SET LOCAL exit_on_error TO 'on'; RAISE division_by_zero; END",
        "BEGIN PERFORM set_config('exit_on_error', 'on', false); PERFORM 1 / 0; RETURN NEW; END",
        "BEGIN UPDATE pg_settings SET setting = 'on' WHERE name = 'exit_on_error'; PERFORM 1 / 0; RETURN NEW; END",
        // Caught, and set all the same.
        "BEGIN
             BEGIN SET exit_on_error = on; EXCEPTION WHEN OTHERS THEN NULL; END;
             RAISE EXCEPTION 'out';
         END",
        // No memory for so many is a FATAL error.
        "BEGIN SET temp_buffers = 1073741823; CREATE TEMP TABLE t AS SELECT 1 AS a; RETURN NEW; END",
    ];
    let version: u32 = scene.cluster.value("SHOW server_version_num").parse().unwrap();
    if version >= 170_000 {
        attacks.push("BEGIN SET transaction_timeout = '1ms'; PERFORM pg_sleep(1); RETURN NEW; END");
    }
    for (number, attack) in attacks.into_iter().enumerate() {
        trap(&scene, "m.doc_embedding_store", attack);
        let errors = "SELECT coalesce(sum(occurrences), 0) FROM ai.vectorizer_errors WHERE name = 'doc'";
        let before = scene.cluster.value(errors);
        by(
            &scene,
            "mallory",
            &format!("INSERT INTO m.doc VALUES ({number}, 'one'); SELECT ai.retry_vectorizer('doc')"),
        );
        let failed = || scene.cluster.value(errors);
        wait_until(attack, DEADLINE, failed, |now| *now != before);
        ann_goes_on(&scene, attack, number + 1, worker);
    }
    // The clause of a function sets them, too.
    trap(&scene, "m.doc_embedding_store", "BEGIN PERFORM 1 / 0; RETURN NEW; END");
    by(
        &scene,
        "mallory",
        "ALTER FUNCTION m.trap() SET exit_on_error = on; INSERT INTO m.doc VALUES (99, 'one')",
    );
    let failed = "SELECT count(*) FROM ai.vectorizer_errors WHERE name = 'doc' AND primary_key ->> 'id' = '99'";
    scene.cluster.wait_for("it fails", failed, "1");
    ann_goes_on(&scene, "a clause of a function", 99, worker);
    // Hers are hers: what a function sets for itself is heeded, where it harms nobody.
    trap(
        &scene,
        "m.doc_embedding_store",
        "BEGIN
             SET statement_timeout = '1s'; SET lock_timeout = '1s'; SET work_mem = '1MB'; SET search_path = m;
             RETURN NEW;
         END",
    );
    by(&scene, "mallory", "SELECT ai.retry_vectorizer('doc')");
    let pending = "SELECT ai.vectorizer_queue_pending('doc')";
    scene.cluster.wait_for("mallory's rows", pending, "0");
}
