//! What code of an owner (a trigger, say) does in the worker, which serves everybody: it ends nobody's work
//! but its own.

mod support;

use std::time::{Duration, Instant};

use support::cluster::Stop;
use support::lair::{LAIR, by, lair, vectorize};
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

/// A scene in which code of an owner may run for a second.
fn impatient() -> Scene {
    let scene = Scene::start_with(|options| options.setting("ai.owner_timeout", "1s"));
    scene.cluster.execute(LAIR);
    vectorize(&scene, "ann", "a", "honest");
    vectorize(&scene, "mallory", "m", "doc");
    ann_goes_on(&scene, "the beginning", 0, None);
    scene
}

/// Why mallory's vectorizer stands still, and whether a reason is given at all.
fn reason(scene: &Scene) -> String {
    let reason =
        "SELECT coalesce(reason, '') FROM ai.worker_status WHERE process = 'vectorizer' AND vectorizer = 'doc'";
    scene.cluster.value(reason)
}

#[track_caller]
fn wait_for_stop(scene: &Scene, what: &str) {
    let seen = || reason(scene);
    let stopped = wait_until(what, DEADLINE, seen, |reason| reason.contains("code of the owner"));
    assert!(stopped.starts_with("paused until"), "{what}: {stopped}");
}

/// However it goes on: its vectorizer is stopped by name, and what ann writes meanwhile is embedded.
#[test]
fn code_that_does_not_end_stops_its_own_vectorizer() {
    let loops = [
        "PERFORM pg_sleep(3600);",
        "LOOP
             BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN NULL; END;
         END LOOP;",
        "LOOP
             BEGIN
                 LOOP END LOOP;
             EXCEPTION WHEN query_canceled OR OTHERS THEN NULL;
             END;
         END LOOP;",
        // It sets what would limit it, in its favour.
        "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;
         LOOP
             BEGIN PERFORM pg_advisory_lock(42); EXCEPTION WHEN query_canceled THEN NULL; END;
         END LOOP;",
        // It catches the first, and ends a little later, each time.
        "BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(0.5); END;",
    ];
    for body in loops {
        let scene = impatient();
        // What mallory waits for.
        let mut other = scene.cluster.connect().unwrap();
        other.batch_execute("SELECT pg_advisory_lock(42)").unwrap();
        trap(
            &scene,
            "m.doc_embedding_store",
            &format!("BEGIN {body} RETURN NEW; END"),
        );
        by(&scene, "mallory", "INSERT INTO m.doc VALUES (1, 'one')");
        wait_for_stop(&scene, body);
        ann_goes_on(&scene, body, 1, None);
        // Its document is not to blame, and there.
        let queue = "SELECT id, crashes FROM ai._vectorizer_q_2";
        assert_eq!(scene.cluster.rows(queue), [["1", "0"]], "{body}");
        by(
            &scene,
            "mallory",
            "DROP TRIGGER trap ON m.doc_embedding_store; SELECT ai.retry_vectorizer('doc')",
        );
        let pending = "SELECT ai.vectorizer_queue_pending('doc')";
        scene.cluster.wait_for("mended, it goes on", pending, "0");
        let noted = "SELECT count(*) FROM ai.vectorizer_errors";
        scene.cluster.wait_for("and nothing is noted", noted, "0");
    }
}

/// Within one function of Postgres that looks for no interrupts, for a minute or so. Neither a cancellation
/// nor the end of its process reaches it.
const SEARCH: &str = "PERFORM position('b' || repeat('a', 100000) in repeat('a', 700000));";

/// What the view says of processes that are stuck.
const STUCK: &str = "SELECT activity FROM ai.worker_status WHERE process = 'worker' AND state = 'stuck'";

#[test]
fn code_that_cannot_be_interrupted_stops_its_own_owner() {
    let mut scene = impatient();
    vectorize(&scene, "mallory", "m", "other");
    trap(
        &scene,
        "m.doc_embedding_store",
        &format!("BEGIN {SEARCH} RETURN NEW; END"),
    );
    let worker = scene.cluster.wait_for_worker();
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (1, 'one')");
    let stuck = || scene.cluster.column(STUCK);
    let seen = wait_until("the view names the one that is stuck", DEADLINE, stuck, |seen| {
        !seen.is_empty()
    });
    assert_eq!(seen, ["runs code of the owner of vectorizer doc"]);
    ann_goes_on(&scene, "a search", 1, None);
    wait_for_stop(&scene, "a search");
    // Nothing of mallory is done meanwhile, however she asks for it, or the next process would be stuck, too.
    by(
        &scene,
        "mallory",
        "INSERT INTO m.doc VALUES (2, 'two');
         INSERT INTO m.other VALUES (1, 'one');
         SELECT ai.retry_vectorizer('doc'), ai.execute_vectorizer('other')",
    );
    for id in 2..6 {
        ann_goes_on(&scene, "a search that others wait for", id, None);
    }
    assert_eq!(
        scene.cluster.rows(
            "SELECT pid, (SELECT count(*) FROM m.other_embedding_store)
             FROM ai.worker_status WHERE process = 'worker' AND state = 'stuck'"
        ),
        [[worker.to_string(), "0".to_owned()]]
    );
    // An immediate stop ends it, and nothing of what waits is lost or to blame.
    scene.cluster.stop(Stop::Immediate);
    scene.cluster.start_again();
    ann_goes_on(&scene, "a restart", 6, None);
    by(
        &scene,
        "mallory",
        "DROP TRIGGER trap ON m.doc_embedding_store; SELECT ai.retry_vectorizer('doc')",
    );
    for (table, rows) in [("m.doc", "2"), ("m.other", "1")] {
        let there = format!("SELECT count(*) FROM {table}_embedding_store");
        scene.cluster.wait_for("what mallory waits for", &there, rows);
    }
    scene
        .cluster
        .wait_for("nothing is noted", "SELECT count(*) FROM ai.vectorizer_errors", "0");
}

/// Its process ends as soon as the code asks Postgres anything, and then its owner is served again.
#[test]
fn an_owner_whose_code_has_ended_is_served_again() {
    let scene = impatient();
    vectorize(&scene, "mallory", "m", "other");
    trap(
        &scene,
        "m.doc_embedding_store",
        &format!("BEGIN {} RETURN NEW; END", SEARCH.replace("700000", "350000")),
    );
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (1, 'one')");
    scene
        .cluster
        .wait_for("it is stuck", &format!("SELECT count(*) FROM ({STUCK}) s"), "1");
    by(&scene, "mallory", "INSERT INTO m.other VALUES (1, 'one')");
    let other = "SELECT count(*) FROM m.other_embedding_store";
    scene.cluster.wait_for("mallory's other row", other, "1");
    assert_eq!(scene.cluster.column(STUCK), [""; 0]);
    ann_goes_on(&scene, "a search that has ended", 1, None);
}

/// Wherever an owner's code is that the worker meets.
#[test]
fn code_of_every_place_is_limited() {
    let forever = "LOOP
             BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN NULL; END;
         END LOOP;";
    let places = [
        (
            "a default of the destination",
            "CREATE FUNCTION m.uuid() RETURNS uuid LANGUAGE sql VOLATILE AS
                 $$ SELECT gen_random_uuid() WHERE m.forever() $$;
             ALTER TABLE m.doc_embedding_store ALTER embedding_uuid SET DEFAULT m.uuid()",
            "ALTER TABLE m.doc_embedding_store ALTER embedding_uuid SET DEFAULT gen_random_uuid()",
        ),
        (
            "a trigger on the queue",
            "CREATE TRIGGER trap BEFORE UPDATE ON ai._vectorizer_q_2 FOR EACH ROW EXECUTE FUNCTION m.trap()",
            "DROP TRIGGER trap ON ai._vectorizer_q_2",
        ),
        (
            "a deferred trigger",
            "CREATE CONSTRAINT TRIGGER trap AFTER INSERT ON m.doc_embedding_store DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION m.trap()",
            "DROP TRIGGER trap ON m.doc_embedding_store",
        ),
        (
            "a constraint of the destination",
            "ALTER TABLE m.doc_embedding_store ADD CONSTRAINT trap CHECK (m.forever()) NOT VALID",
            "ALTER TABLE m.doc_embedding_store DROP CONSTRAINT trap",
        ),
    ];
    for (place, sql, mend) in places {
        let scene = impatient();
        by(
            &scene,
            "mallory",
            &format!(
                "CREATE FUNCTION m.forever() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN {forever} END $$;
                 CREATE FUNCTION m.trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {forever} END $$;
                 {sql}; INSERT INTO m.doc VALUES (1, 'one')"
            ),
        );
        wait_for_stop(&scene, place);
        ann_goes_on(&scene, place, 1, None);
        by(&scene, "mallory", &format!("{mend}; SELECT ai.retry_vectorizer('doc')"));
        let there = "SELECT count(*) FROM m.doc_embedding_store";
        scene
            .cluster
            .wait_for(&format!("without {place} it goes on"), there, "1");
    }
}

/// What the documentation says to do about it.
#[test]
fn a_cancellation_ends_what_an_owner_runs_and_stops_it() {
    let scene = lair();
    vectorize(&scene, "ann", "a", "honest");
    vectorize(&scene, "mallory", "m", "doc");
    ann_goes_on(&scene, "the beginning", 0, None);
    let worker = scene.cluster.wait_for_worker();
    // Where nothing of an owner runs, it ends nothing.
    scene.cluster.execute(&format!("SELECT pg_cancel_backend({worker})"));
    ann_goes_on(&scene, "a cancellation of nothing", 1, Some(worker));
    trap(
        &scene,
        "m.doc_embedding_store",
        "BEGIN
             LOOP
                 BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN NULL; END;
             END LOOP;
         END",
    );
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (1, 'one')");
    let activity = "SELECT coalesce(activity, '') FROM ai.worker_status WHERE process = 'worker'";
    let activity = || scene.cluster.column(activity);
    let runs = wait_until("the view names whose code runs", DEADLINE, activity, |seen| {
        seen.iter().any(|activity| activity.contains("code of the owner"))
    });
    assert_eq!(runs, ["runs code of the owner of vectorizer doc"]);
    let worker = scene.cluster.wait_for_worker();
    scene.cluster.execute(&format!("SELECT pg_cancel_backend({worker})"));
    wait_for_stop(&scene, "cancelled");
    ann_goes_on(&scene, "a cancellation", 2, None);
}

/// Each within the limit, and all together not.
#[test]
fn many_slow_vectorizers_of_one_owner_leave_others_their_time() {
    let scene = Scene::start_with(|options| options.setting("ai.owner_timeout", "4s"));
    scene.cluster.execute(LAIR);
    vectorize(&scene, "ann", "a", "honest");
    for number in 0..10 {
        vectorize(&scene, "mallory", "m", &format!("t{number}"));
    }
    ann_goes_on(&scene, "the beginning", 0, None);
    by(
        &scene,
        "mallory",
        "CREATE FUNCTION m.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN NEW; END $$",
    );
    for number in 0..10 {
        by(
            &scene,
            "mallory",
            &format!(
                "CREATE TRIGGER slow BEFORE INSERT ON m.t{number}_embedding_store FOR EACH ROW EXECUTE FUNCTION m.slow();
                 INSERT INTO m.t{number} VALUES (1, 'one')"
            ),
        );
    }
    let waits: Vec<Duration> = (1..6)
        .map(|id| {
            let began = Instant::now();
            ann_goes_on(&scene, "slow triggers", id, None);
            began.elapsed()
        })
        .collect();
    // One turn of mallory may be in the way, or two; not ten.
    assert!(waits.iter().all(|wait| *wait < Duration::from_secs(12)), "{waits:?}");
}

/// A connection of dblink is the process', and has the rights of whoever it was opened as.
#[test]
fn connections_that_an_owner_opens_end_with_its_turn() {
    // The worker stays.
    let scene = Scene::start_with(|options| options.setting("ai.idle_timeout", "1h"));
    scene.cluster.execute(LAIR);
    scene.cluster.execute(
        "CREATE EXTENSION dblink;
         GRANT EXECUTE ON FUNCTION dblink_connect_u(text), dblink_connect_u(text, text) TO mallory",
    );
    vectorize(&scene, "ann", "a", "honest");
    vectorize(&scene, "mallory", "m", "doc");
    let here = "'user=mallory dbname=postgres host=' || split_part(current_setting('unix_socket_directories'), ',', 1)";
    let sockets = scene.cluster.value(&format!("SELECT {here}"));
    // One with a name, and one without; one that fails leaves them, too.
    for (id, end) in [(1, "RETURN NEW"), (2, "PERFORM 1 / 0")] {
        trap(
            &scene,
            "m.doc_embedding_store",
            &format!(
                "BEGIN
                     PERFORM public.dblink_connect_u('mine', '{sockets}');
                     PERFORM public.dblink_connect_u('{sockets}');
                     {end};
                 END"
            ),
        );
        by(&scene, "mallory", &format!("INSERT INTO m.doc VALUES ({id}, 'one')"));
        let done = match id {
            1 => "SELECT count(*) FROM m.doc_embedding_store",
            _ => "SELECT count(*) FROM ai.vectorizer_errors WHERE name = 'doc'",
        };
        scene.cluster.wait_for(end, done, "1");
        ann_goes_on(&scene, end, id, None);
        let open =
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'mallory' AND backend_type = 'client backend'";
        scene
            .cluster
            .wait_for(&format!("{end}: no connection is left"), open, "0");
    }
}

/// A transaction of the worker is not an owner's to keep.
#[test]
fn an_owner_cannot_end_or_prepare_a_transaction_of_the_worker() {
    let scene = Scene::start_with(|options| options.setting("max_prepared_transactions", "2"));
    scene.cluster.execute(LAIR);
    vectorize(&scene, "ann", "a", "honest");
    vectorize(&scene, "mallory", "m", "doc");
    ann_goes_on(&scene, "the beginning", 0, None);
    let worker = scene.cluster.worker();
    for (id, sql) in ["PREPARE TRANSACTION ''held''", "COMMIT", "ROLLBACK", "SAVEPOINT s"]
        .iter()
        .enumerate()
    {
        trap(
            &scene,
            "m.doc_embedding_store",
            &format!("BEGIN EXECUTE '{sql}'; RETURN NEW; END"),
        );
        by(
            &scene,
            "mallory",
            &format!("INSERT INTO m.doc VALUES ({id}, 'one'); SELECT ai.retry_vectorizer('doc')"),
        );
        let failed = "SELECT count(*) > 0 FROM ai.vectorizer_errors WHERE name = 'doc'";
        scene.cluster.wait_for(sql, failed, "t");
        ann_goes_on(&scene, sql, id + 1, worker);
    }
    assert_eq!(scene.cluster.value("SELECT count(*) FROM pg_prepared_xacts"), "0");
}

/// A document of many portions, each of which a trigger makes slow: the owner has one turn for all of them.
#[test]
fn the_portions_of_a_document_do_not_have_a_turn_each() {
    let scene = impatient();
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.large (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('m.large', name => 'large', loading => ai.loading_column('body'),
             chunking => ai.chunking_character_text_splitter(8, 0, ' '),
             embedding => ai.embedding_openai('text-embedding-3-large', 2000));
         CREATE FUNCTION m.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END';
         CREATE TRIGGER slow AFTER INSERT ON m.large_embedding_store FOR EACH STATEMENT EXECUTE FUNCTION m.slow();
         INSERT INTO m.large SELECT 1, string_agg('w' || lpad(n::text, 7, '0'), ' ') FROM generate_series(1, 4000) n",
    );
    let reason =
        "SELECT coalesce(reason, '') FROM ai.worker_status WHERE process = 'vectorizer' AND vectorizer = 'large'";
    let seen = || scene.cluster.value(reason);
    wait_until("it is stopped", DEADLINE, seen, |reason| {
        reason.contains("code of the owner")
    });
    assert_eq!(scene.cluster.value("SELECT count(*) FROM m.large_embedding_store"), "0");
    ann_goes_on(&scene, "a slow document", 1, None);
    // Without code of the owner it has the time that it takes.
    by(
        &scene,
        "mallory",
        "DROP TRIGGER slow ON m.large_embedding_store; SELECT ai.retry_vectorizer('large')",
    );
    scene
        .cluster
        .wait_for("it is written", "SELECT count(*) FROM m.large_embedding_store", "4000");
}
