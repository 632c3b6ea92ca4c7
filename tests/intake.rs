//! What the triggers leave in the intake: they are in nobody's way, nobody is in theirs, and nothing of it is lost.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::time::Duration;

use notes::{Notes, add, embedded, wait_for_embedded, wait_for_queued};
use postgres::Client;
use provider::Behaviour;
use support::Database;
use support::database::describe;

const NONE: [&str; 0] = [];

/// A transaction that sees the table as it is now.
fn begin(database: &Database, isolation: &str) -> Client {
    let mut writer = database.connect().unwrap();
    writer
        .batch_execute(&format!(
            "SET lock_timeout = '10s'; BEGIN ISOLATION LEVEL {isolation}; SELECT count(*) FROM note"
        ))
        .unwrap();
    writer
}

#[track_caller]
fn write(writer: &mut Client, sql: &str) {
    if let Err(error) = writer.batch_execute(sql) {
        panic!("{sql}: {}", describe(&error));
    }
}

/// Puts the work off, and waits until what has changed so far is in the queue.
#[track_caller]
fn stop_work(notes: &Notes) {
    notes.cluster.execute("SELECT ai.disable_vectorizer_schedule(1)");
}

#[track_caller]
fn go_on(notes: &Notes) {
    notes.cluster.execute("SELECT ai.enable_vectorizer_schedule(1)");
}

/// Whoever may write to a table could else write what is never embedded.
#[test]
fn no_setting_of_a_session_hides_a_change() {
    let notes = Notes::start();
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    // By this name version 0.1.0 told its own updates from others.
    notes
        .cluster
        .execute("SET ai.writing = 'on'; UPDATE note SET body = 'two' WHERE id = 1; RESET ai.writing");
    wait_for_embedded(&notes.cluster, &["1:two"]);
}

/// The worker takes documents after the writer's transaction has begun to see the tables as they were.
#[test]
fn writers_of_every_isolation_level_write_what_was_just_taken() {
    for isolation in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        let notes = Notes::start();
        stop_work(&notes);
        notes
            .cluster
            .execute("INSERT INTO note SELECT i, 'old ' || i FROM generate_series(1, 4) i");
        wait_for_queued(&notes.cluster, 4, "version", &["1"]);
        let mut writer = begin(&notes.cluster, isolation);
        notes.provider.behave_times(1, Behaviour::Slow(Duration::from_secs(3)));
        go_on(&notes);
        notes.wait_for_requests_in_flight(1);
        notes
            .cluster
            .wait_for("all are taken", "SELECT count(lease) FROM ai._vectorizer_q_1", "4");
        write(&mut writer, "UPDATE note SET body = 'new' WHERE id = 1");
        write(&mut writer, "UPDATE note SET id = 20 WHERE id = 2");
        write(&mut writer, "DELETE FROM note WHERE id = 3");
        write(&mut writer, "COMMIT");
        wait_for_embedded(&notes.cluster, &["1:new", "4:old 4", "20:old 2"]);
    }
}

/// What the deleting transaction does not see of the destination, the worker removes.
#[test]
fn a_delete_that_does_not_see_the_chunks_leaves_none() {
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        let notes = Notes::start();
        stop_work(&notes);
        add(&notes.cluster, 1, "one");
        add(&notes.cluster, 2, "two");
        let mut writer = begin(&notes.cluster, isolation);
        go_on(&notes);
        wait_for_embedded(&notes.cluster, &["1:one", "2:two"]);
        write(&mut writer, "DELETE FROM note WHERE id = 1");
        write(&mut writer, "UPDATE note SET id = 3 WHERE id = 2");
        write(&mut writer, "COMMIT");
        wait_for_embedded(&notes.cluster, &["3:two"]);
    }
}

/// Both have changes of the same documents to tell, and neither waits for the other.
#[test]
fn who_has_documents_repaired_is_in_no_writers_way() {
    let notes = Notes::start();
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    notes.cluster.execute("DELETE FROM note_embedding_store");
    let mut repair = begin(&notes.cluster, "READ COMMITTED");
    write(
        &mut repair,
        "SELECT count(*) FROM ai.verify_vectorizer(1, repair => true)",
    );
    let mut writer = begin(&notes.cluster, "READ COMMITTED");
    write(&mut writer, "UPDATE note SET body = 'two'");
    write(&mut writer, "COMMIT");
    wait_for_embedded(&notes.cluster, &["1:two"]);
    write(&mut repair, "UPDATE note SET body = 'three'");
    write(&mut repair, "COMMIT");
    wait_for_embedded(&notes.cluster, &["1:three"]);
}

/// One document cannot be put into the queue, and the others are.
#[test]
fn a_locked_document_of_the_queue_holds_up_no_other() {
    let notes = Notes::start();
    stop_work(&notes);
    add(&notes.cluster, 1, "one");
    wait_for_queued(&notes.cluster, 1, "version", &["1"]);
    let mut holder = begin(&notes.cluster, "READ COMMITTED");
    write(&mut holder, "SELECT FROM ai._vectorizer_q_1 FOR UPDATE");
    notes.cluster.execute("UPDATE note SET body = 'eins'");
    add(&notes.cluster, 2, "two");
    go_on(&notes);
    notes.cluster.wait_for(
        "the other is embedded",
        "SELECT count(*) FROM note_embedding_store WHERE id = 2",
        "1",
    );
    assert_eq!(notes.cluster.value("SELECT ai.vectorizer_queue_pending(1)"), "1");
    write(&mut holder, "ROLLBACK");
    wait_for_embedded(&notes.cluster, &["1:eins", "2:two"]);
}

/// A row that somebody has put into the queue himself, and not committed.
#[test]
fn a_document_that_somebody_queues_by_hand_holds_up_no_other() {
    let notes = Notes::start();
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    let mut holder = begin(&notes.cluster, "READ COMMITTED");
    write(&mut holder, "INSERT INTO ai._vectorizer_q_1 (id) VALUES (1)");
    notes.cluster.execute("UPDATE note SET body = 'eins'");
    notes.cluster.execute("INSERT INTO ai._vectorizer_q_1 (id) VALUES (2)");
    notes.cluster.execute("SELECT ai._wake_worker()");
    notes
        .cluster
        .wait_for("the queue goes on", "SELECT count(*) FROM ai._vectorizer_q_1", "0");
    write(&mut holder, "ROLLBACK");
    wait_for_embedded(&notes.cluster, &["1:eins"]);
}

/// Nobody works on the queue, and still a row that changes a thousand times is there once.
#[test]
fn what_changes_while_nothing_is_embedded_waits_once() {
    let notes = Notes::start();
    stop_work(&notes);
    add(&notes.cluster, 1, "one");
    notes
        .cluster
        .execute("DO $$BEGIN FOR i IN 1..1000 LOOP UPDATE note SET body = 'text ' || i; COMMIT; END LOOP; END$$");
    notes.cluster.wait_for(
        "the intake is empty",
        "SELECT count(*) FROM ai._vectorizer_intake_1",
        "0",
    );
    assert_eq!(notes.cluster.value("SELECT count(*) FROM ai._vectorizer_q_1"), "1");
    assert_eq!(embedded(&notes.cluster), NONE);
    go_on(&notes);
    wait_for_embedded(&notes.cluster, &["1:text 1000"]);
}

/// The plans of a session that has written single rows, and then writes many: 50,000 times 50,000 comparisons would not end
/// within the minute.
#[test]
fn a_session_that_wrote_single_rows_writes_many_at_once() {
    let notes = Notes::start();
    stop_work(&notes);
    let mut writer = notes.cluster.connect().unwrap();
    write(&mut writer, "SET statement_timeout = '1min'");
    write(
        &mut writer,
        "INSERT INTO note SELECT i, 'text' FROM generate_series(1, 50000) i",
    );
    for id in 1..=8 {
        write(&mut writer, &format!("UPDATE note SET body = 'one' WHERE id = {id}"));
        write(&mut writer, &format!("UPDATE note SET id = -{id} WHERE id = {id}"));
    }
    write(&mut writer, "UPDATE note SET body = 'all'");
    write(&mut writer, "UPDATE note SET id = id + 100000");
    write(&mut writer, "DELETE FROM note");
    assert_eq!(notes.cluster.value("SELECT count(*) FROM note"), "0");
}

/// Keys that no row has, by who may write them: the owner of the source.
#[test]
fn forged_keys_are_cleared_away() {
    let notes = Notes::start();
    add(&notes.cluster, 1, "one");
    notes.cluster.execute(
        "INSERT INTO ai._vectorizer_intake_1 SELECT i % 10 FROM generate_series(1, 10000) i;
         SELECT ai._wake_worker()",
    );
    wait_for_embedded(&notes.cluster, &["1:one"]);
    assert_eq!(
        notes.cluster.rows(
            "SELECT (SELECT count(*) FROM ai._vectorizer_intake_1), (SELECT count(*) FROM ai._vectorizer_q_1),
                    (SELECT count(*) FROM ai._vectorizer_q_failed_1), (SELECT count(*) FROM ai.vectorizer_errors)"
        ),
        [["0", "0", "0", "0"]]
    );
}

/// A transaction that is open for hours, of a dump for example, keeps VACUUM from removing what has been taken in.
#[test]
fn an_old_snapshot_keeps_no_dead_rows_in_the_intake() {
    let notes = Notes::start();
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    let mut old = begin(&notes.cluster, "REPEATABLE READ");
    notes
        .cluster
        .execute("INSERT INTO ai._vectorizer_intake_1 SELECT 1 FROM generate_series(1, 200000)");
    // Each look tries it: autovacuum may be there.
    notes.cluster.wait_for(
        "nothing is left of it",
        "SELECT pg_relation_size('ai._vectorizer_intake_1') FROM ai._wake_worker()",
        "0",
    );
    write(&mut old, "COMMIT");
    notes.cluster.execute("UPDATE note SET body = 'two'");
    wait_for_embedded(&notes.cluster, &["1:two"]);
}
