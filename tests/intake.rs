//! What the triggers leave in the intake: they are in nobody's way, nobody is in theirs, and nothing of it is lost.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::time::Duration;

use notes::{Notes, add, embedded, verified, wait_for_embedded, wait_for_queued};
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
        notes.provider.behave_times(1, Behaviour::Slow(Duration::from_secs(15)));
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

/// More than the worker takes in at once, and what is behind them is fresh. 40,000 times 40,000 comparisons
/// would not end in time.
#[test]
fn many_locked_documents_of_the_queue_hold_up_no_other() {
    let notes = Notes::start();
    stop_work(&notes);
    notes
        .cluster
        .execute("INSERT INTO note SELECT i, 'text ' || i FROM generate_series(1, 40000) i");
    notes.cluster.wait_for(
        "all are in the queue",
        "SELECT count(*) FROM ai._vectorizer_q_1",
        "40000",
    );
    let mut holder = begin(&notes.cluster, "READ COMMITTED");
    write(&mut holder, "SELECT FROM ai._vectorizer_q_1 WHERE id > 10 FOR UPDATE");
    notes.cluster.execute("UPDATE note SET body = body || '!'");
    add(&notes.cluster, 40001, "fresh");
    go_on(&notes);
    notes.cluster.wait_for(
        "the others are embedded",
        "SELECT count(*) FROM note_embedding_store WHERE id > 40000 OR chunk LIKE '%!'",
        "11",
    );
    write(&mut holder, "ROLLBACK");
    notes.cluster.execute("DELETE FROM note WHERE id BETWEEN 101 AND 40000");
    notes.cluster.wait_for(
        "those that are left are embedded, as they are now",
        "SELECT count(*) FROM note_embedding_store WHERE chunk LIKE '%!'",
        "100",
    );
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

/// The plans of a session that has written single rows, and then writes many: 50,000 times 50,000 comparisons
/// would not end within two minutes.
#[test]
fn a_session_that_wrote_single_rows_writes_many_at_once() {
    let notes = Notes::start();
    stop_work(&notes);
    let mut writer = notes.cluster.connect().unwrap();
    write(&mut writer, "SET statement_timeout = '2min'");
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

/// What a writer does between `BEGIN` and the last statement, and which documents have changed then.
#[test]
fn what_is_rolled_back_is_no_change_and_what_is_committed_is_one() {
    let notes = Notes::start();
    stop_work(&notes);
    let fails = "BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END";
    for (writes, changed) in [
        ("INSERT INTO note VALUES (1, 'a')", "1"),
        ("SAVEPOINT s; INSERT INTO note VALUES (2, 'a'); RELEASE s", "2"),
        ("SAVEPOINT s; INSERT INTO note VALUES (3, 'a'); ROLLBACK TO s", ""),
        // The child's end, good or bad, is not the parent's.
        ("INSERT INTO note VALUES (4, 'a'); SAVEPOINT s; INSERT INTO note VALUES (5, 'a'); ROLLBACK TO s", "4"),
        ("SAVEPOINT s; INSERT INTO note VALUES (6, 'a'); SAVEPOINT t; INSERT INTO note VALUES (7, 'a'); RELEASE t; ROLLBACK TO s", ""),
        ("SAVEPOINT s; INSERT INTO note VALUES (8, 'a'); RELEASE s; SAVEPOINT s; SAVEPOINT t; INSERT INTO note VALUES (9, 'a'); RELEASE t; RELEASE s", "8, 9"),
        // So many that they do not wait for the commit.
        ("INSERT INTO note SELECT i, 'a' FROM generate_series(1000, 100999) i; SAVEPOINT s;
          INSERT INTO note SELECT i, 'a' FROM generate_series(200000, 299999) i; ROLLBACK TO s; DELETE FROM note WHERE id > 1000", "1000"),
        (&format!("DO $$BEGIN INSERT INTO note VALUES (10, 'a'); {fails}; INSERT INTO note VALUES (11, 'a'); END$$"), "10, 11"),
        ("INSERT INTO note VALUES (12, 'a'); DELETE FROM note WHERE id = 12", ""),
        ("UPDATE note SET body = body", ""),
        ("UPDATE note SET body = 'b' WHERE id < 3", "1, 2"),
        ("UPDATE note SET id = 20 WHERE id = 4", "20"),
        ("INSERT INTO note VALUES (1, 'c'), (30, 'c') ON CONFLICT (id) DO UPDATE SET body = excluded.body", "1, 30"),
        ("INSERT INTO note VALUES (1, 'd') ON CONFLICT DO NOTHING", ""),
        ("COPY (SELECT 40, 'a') TO '/dev/null'; MERGE INTO note n USING (VALUES (30, 'e'), (31, 'e')) AS v (id, body) ON n.id = v.id
          WHEN MATCHED THEN UPDATE SET body = v.body WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.body)", "30, 31"),
        ("TRUNCATE note; INSERT INTO note VALUES (1, 'f')", "1"),
    ] {
        notes.cluster.wait_for(
            "what came before is in the queue",
            "SELECT count(*) FROM ai._vectorizer_intake_1",
            "0",
        );
        notes.cluster.execute("TRUNCATE ai._vectorizer_q_1");
        notes.cluster.execute(&format!("BEGIN; {writes}; COMMIT"));
        notes.cluster.wait_for(
            writes,
            "SELECT coalesce(string_agg(q.id::text, ', ' ORDER BY q.id), '') FROM ai._vectorizer_q_1 q JOIN note USING (id)
             WHERE NOT EXISTS (SELECT FROM ai._vectorizer_intake_1)",
            changed,
        );
    }
}

/// Two-phase commit: whoever prepares a transaction may leave, and who ends it runs none of our code. Others
/// go on meanwhile.
#[test]
fn what_was_prepared_is_a_change_when_it_is_committed() {
    let notes = Notes::start_with(|options| {
        options
            .setting("ai.naptime", "1s")
            .setting("max_prepared_transactions", "2")
    });
    let before = ["1:one", "2:two", "3:three", "4:four"];
    let prepare = || {
        let mut user = notes.cluster.connect().unwrap();
        write(&mut user, "BEGIN");
        write(&mut user, "UPDATE note SET body = 'eins' WHERE id = 1");
        write(&mut user, "DELETE FROM note WHERE id = 2");
        write(&mut user, "UPDATE note SET id = 30 WHERE id = 3");
        write(&mut user, "INSERT INTO note VALUES (7, 'seven')");
        write(&mut user, "PREPARE TRANSACTION 'changes'");
    };
    notes
        .cluster
        .execute("INSERT INTO note VALUES (1, 'one'), (2, 'two'), (3, 'three'), (4, 'four')");
    wait_for_embedded(&notes.cluster, &before);
    prepare();
    add(&notes.cluster, 5, "five");
    wait_for_embedded(&notes.cluster, &[&before[..], &["5:five"]].concat());
    notes.cluster.execute("ROLLBACK PREPARED 'changes'");
    // Had anything been left of it, this would be behind it.
    add(&notes.cluster, 6, "six");
    wait_for_embedded(&notes.cluster, &[&before[..], &["5:five", "6:six"]].concat());
    assert_eq!(notes.provider.counts().inputs, 6);
    prepare();
    notes.cluster.execute("COMMIT PREPARED 'changes'");
    let after = ["1:eins", "4:four", "5:five", "6:six", "7:seven", "30:three"];
    wait_for_embedded(&notes.cluster, &after);
    assert_eq!(notes.provider.counts().inputs, 9);
    assert_eq!(verified(&notes.cluster, "public_note_embedding_store"), [[""; 3]; 0]);
}

/// Keys are appended past the executor where the intake is as it was made, and else as its owner would.
#[test]
fn whatever_the_owner_makes_of_the_intake_is_heeded() {
    let notes = Notes::start();
    stop_work(&notes);
    let intake = "ai._vectorizer_intake_1";
    let appended = |id: i32| {
        notes.cluster.value(&format!(
            "BEGIN; INSERT INTO note VALUES ({id}, 'a'); SELECT ai.vectorizer_queue_pending(1); ROLLBACK"
        ))
    };
    assert_eq!(appended(1), "1");
    notes.cluster.execute(&format!("CREATE INDEX by_id ON {intake} (id)"));
    assert_eq!(appended(1), "1");
    assert_eq!(
        notes.cluster.value(&format!(
            "BEGIN; INSERT INTO note VALUES (1, 'a'); SET LOCAL enable_seqscan = off; SELECT id FROM {intake} WHERE id = 1; ROLLBACK"
        )),
        "1",
        "the index knows it"
    );
    notes.cluster.execute("DROP INDEX ai.by_id");
    notes
        .cluster
        .execute(&format!("ALTER TABLE {intake} ADD CONSTRAINT small CHECK (id < 100)"));
    assert_eq!(appended(1), "1");
    assert_eq!(notes.cluster.refusal("INSERT INTO note VALUES (100, 'a')").0, "23514");
    notes
        .cluster
        .execute(&format!("ALTER TABLE {intake} DROP CONSTRAINT small"));
    notes
        .cluster
        .execute(&format!("ALTER TABLE {intake} ALTER id TYPE int8"));
    // Keys of another type than the source's are not counted.
    assert_eq!(appended(100), "NULL");
    notes
        .cluster
        .execute(&format!("ALTER TABLE {intake} ALTER id TYPE int4"));
    // Postgres remembers an index until VACUUM comes by.
    notes.cluster.execute(&format!("VACUUM {intake}"));
    // In the transaction that has written, too: better no commit than a row without its index entry.
    let refused = notes.cluster.refusal(&format!(
        "BEGIN; INSERT INTO note VALUES (1, 'a'); CREATE INDEX by_id ON {intake} (id); COMMIT"
    ));
    assert_eq!(refused.0, "55000");
    go_on(&notes);
    add(&notes.cluster, 7, "seven");
    wait_for_embedded(&notes.cluster, &["7:seven"]);
}

/// The trigger's function may be called by anybody, and its argument may be anything.
#[test]
fn the_trigger_of_another_table_tells_nothing() {
    let notes = Notes::start();
    stop_work(&notes);
    notes.cluster.execute(
        "CREATE TABLE other (id int PRIMARY KEY, body text);
         CREATE TRIGGER t AFTER INSERT OR UPDATE ON other FOR EACH ROW EXECUTE FUNCTION ai._append_change(1);
         CREATE TRIGGER u AFTER INSERT OR UPDATE ON other FOR EACH ROW EXECUTE FUNCTION ai._append_change('one', 'two');
         CREATE TRIGGER v AFTER INSERT OR UPDATE ON other FOR EACH ROW EXECUTE FUNCTION ai._append_change()",
    );
    notes
        .cluster
        .execute("INSERT INTO other VALUES (5, 'five'); UPDATE other SET id = 6");
    assert_eq!(notes.cluster.value("SELECT ai.vectorizer_queue_pending(1)"), "0");
    for (kind, each) in [
        ("BEFORE INSERT", "ROW"),
        ("AFTER DELETE", "ROW"),
        ("AFTER INSERT", "STATEMENT"),
    ] {
        notes.cluster.execute(&format!(
            "CREATE TRIGGER w {kind} ON other FOR EACH {each} EXECUTE FUNCTION ai._append_change(1)"
        ));
        let refused = notes
            .cluster
            .refusal("INSERT INTO other VALUES (7, ''); DELETE FROM other");
        assert_eq!(refused.0, "39P01", "{kind} {each}");
        notes.cluster.execute("DROP TRIGGER w ON other");
    }
}

/// Values that are stored elsewhere, compressed, or of fixed length.
#[test]
fn keys_and_values_of_every_kind_are_compared_and_appended() {
    let notes = Notes::start();
    notes.cluster.execute(
        "CREATE TABLE kind (a text, b uuid, c name, d numeric, e bool, body text, more text,
             PRIMARY KEY (a, b, c, d, e));
         ALTER TABLE kind ALTER more SET STORAGE EXTERNAL;
         INSERT INTO kind VALUES
             ('short', '00000000-0000-0000-0000-000000000001', 'n', 1.50, true, 'one', repeat('m', 5000)),
             (repeat('long', 600), '00000000-0000-0000-0000-000000000002', 'm', 12345678901234567890.5, false, 'two', repeat('x', 100000));
         SELECT ai.create_vectorizer('kind', loading => ai.loading_column('body'), scheduling => ai.scheduling_none(),
             embedding => ai.embedding_ollama('m', 8, base_url => 'http://127.0.0.1:1'))",
    );
    let changed = |update: &str| {
        notes.cluster.value(&format!(
            "BEGIN; TRUNCATE ai._vectorizer_intake_2, ai._vectorizer_q_2; {update};
             DO $$BEGIN PERFORM ai.vectorizer_queue_pending(2); END$$;
             SELECT count(*) || ' of ' || count(k) FROM ai._vectorizer_intake_2 LEFT JOIN kind k USING (a, b, c, d, e); ROLLBACK"
        ))
    };
    assert_eq!(changed("UPDATE kind SET body = body, more = more"), "0 of 0");
    assert_eq!(changed("UPDATE kind SET body = 'new'"), "2 of 2");
    assert_eq!(changed("UPDATE kind SET more = repeat('m', 5000) WHERE e"), "0 of 0");
    assert_eq!(changed("UPDATE kind SET more = repeat('m', 4999) || 'n'"), "2 of 2");
    assert_eq!(changed("UPDATE kind SET more = NULL"), "2 of 2");
    assert_eq!(changed("UPDATE kind SET d = 1.5 WHERE e"), "1 of 1");
    assert_eq!(changed("UPDATE kind SET c = 'other'"), "2 of 2");
    assert_eq!(
        changed("INSERT INTO kind SELECT a || i, b, c, d, e, body, more FROM kind, generate_series(1, 400) i"),
        "800 of 800"
    );
    assert_eq!(
        changed("ALTER TABLE kind DROP body CASCADE; UPDATE kind SET more = 'n'"),
        "2 of 2"
    );
    assert_eq!(changed("ALTER TABLE kind ADD x int; UPDATE kind SET x = 1"), "2 of 2");
}

/// A crowd of owners who make, alter and drop vectorizers costs those who write to other tables nothing.
#[test]
fn a_change_of_one_vectorizer_has_the_writers_of_others_ask_for_nothing() {
    let notes = Notes::start();
    notes
        .cluster
        .execute("CREATE TABLE other (id int PRIMARY KEY, body text)");
    let made = "SELECT ai.create_vectorizer('other', name => 'other', loading => ai.loading_column('body'),
        embedding => ai.embedding_openai('text-embedding-3-small', 8))";
    // The worker empties no intake that is written to, which would be a change of it.
    let mut busy = notes.cluster.connect().unwrap();
    write(
        &mut busy,
        "BEGIN; LOCK TABLE ai._vectorizer_intake_1 IN ROW EXCLUSIVE MODE",
    );
    let mut writer = notes.cluster.connect().unwrap();
    let mut next = 0;
    // How often the catalogue of vectorizers is read by a transaction that writes to the notes.
    let mut asked = || {
        next += 1;
        let scans = "SELECT pg_stat_get_xact_numscans('ai._vectorizer'::regclass)";
        let sql = format!("BEGIN; {scans}; INSERT INTO note VALUES ({next}, 'a'); {scans}; COMMIT");
        let answers = writer.simple_query(&sql).unwrap();
        let numbers = answers.iter().filter_map(|answer| match answer {
            postgres::SimpleQueryMessage::Row(row) => row.get(0).and_then(|scans| scans.parse::<u32>().ok()),
            _ => None,
        });
        let numbers: Vec<u32> = numbers.collect();
        numbers[1] - numbers[0]
    };
    assert!(asked() > 0, "the first one asks");
    assert_eq!(asked(), 0, "it knows");
    for change in [
        made,
        "SELECT ai.set_scheduling(2, ai.scheduling_none())",
        "SELECT ai.disable_vectorizer_schedule('other')",
        "SELECT ai.enable_vectorizer_schedule('other')",
        "ALTER TABLE other RENAME TO another",
        "ALTER TABLE another ADD COLUMN more text",
        "SELECT ai.drop_vectorizer('other', drop_all => true)",
        "VACUUM ANALYZE ai._vectorizer",
    ] {
        notes.cluster.execute(change);
        assert_eq!(asked(), 0, "after {change}");
    }
    // What concerns the table itself is heard of.
    for change in [
        "SELECT ai.set_scheduling(1, ai.scheduling_none())",
        "ALTER TABLE note ADD COLUMN more text",
        "SELECT ai.create_vectorizer('note', loading => ai.loading_column('body'), destination => ai.destination_column('v'),
            chunking => ai.chunking_none(), embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    ] {
        notes.cluster.execute(change);
        assert!(asked() > 0, "after {change}");
        assert_eq!(asked(), 0, "it knows");
    }
}
