//! The life of a document when something goes wrong: each edge of its state machine and of its vectorizer's in
//! docs/states.md, and what a user sees of it.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::time::{Duration, Instant};

use notes::*;
use provider::Behaviour;
use support::scene::API_KEY;
use support::{Answer, DEADLINE, Database, Options, Scene, wait_until};

/// Long enough to do something to a document while it is with the provider.
const SLOW: Behaviour = Behaviour::Slow(Duration::from_secs(1));

/// A worker that stays.
fn patient(options: Options) -> Options {
    options.setting("ai.idle_timeout", "1h")
}

#[track_caller]
fn wait_for_failed(database: &Database, expected: &[&str]) {
    wait_until(
        "the failed queue",
        DEADLINE,
        || failed(database),
        |failed| failed == expected,
    );
}

/// One item, and the last state of the row.
#[test]
fn state_queued_changed_is_one_item() {
    let notes = Notes::start_with(|options| options.setting("ai.max_documents_in_flight", "1"));
    notes.provider.behave_times(1, SLOW);
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    add(&notes.cluster, 2, "two");
    notes.cluster.execute("UPDATE note SET body = 'zwei' WHERE id = 2");
    notes.cluster.execute("UPDATE note SET body = 'deux' WHERE id = 2");
    wait_for_queued(&notes.cluster, 2, "count(*) OVER (), lease", &["1", "NULL"]);
    wait_for_embedded(&notes.cluster, &["1:one", "2:deux"]);
    assert_eq!(notes.provider.counts().inputs, 2);
}

/// Each fault of the provider that may pass by itself, once: an error row that counts, and goes with the success. The
/// second try is one to two seconds after the first, so all of them take about ten.
#[test]
fn state_waiting_is_tried_again() {
    let notes = Notes::start_with(|options| patient(options).setting("ai.request_timeout", "500ms"));
    let faults = [
        (Behaviour::ServerError, "transient"),
        (Behaviour::Hang, "transient"),
        (Behaviour::Cut, "transient"),
        (Behaviour::TooFew, "transient"),
        (Behaviour::NotFinite, "unknown"),
        (Behaviour::HalfJson, "transient"),
    ];
    for (id, (fault, class)) in (1..).zip(faults) {
        notes.provider.behave_times(1, fault);
        add(&notes.cluster, id, "text");
        wait_for_errors(&notes.cluster, &[&format!("{id}:embedding:{class}:1")]);
        let waits = "attempts, loading_retries, lease, loading_retry_after > now()";
        assert_eq!(queued(&notes.cluster, id, waits).unwrap(), ["1", "1", "NULL", "t"]);
        notes.cluster.wait_until_settled();
        assert_eq!(errors(&notes.cluster), NONE);
    }
    assert_eq!(embedded(&notes.cluster).len(), 6);
    assert_eq!(failed(&notes.cluster), NONE);
}

#[test]
fn state_waiting_changed_is_taken_at_once() {
    let notes = Notes::start_with(patient);
    notes.provider.behave_times(1, Behaviour::ServerError);
    add(&notes.cluster, 1, "one");
    wait_for_errors(&notes.cluster, &["1:embedding:transient:1"]);
    notes
        .cluster
        .execute("UPDATE ai._vectorizer_q_1 SET loading_retry_after = now() + interval '1 hour'");
    notes.cluster.execute("UPDATE note SET body = 'two'");
    wait_for_embedded(&notes.cluster, &["1:two"]);
    assert_eq!(errors(&notes.cluster), NONE);
}

#[test]
fn state_leased_is_renewed() {
    let notes = Notes::start_with(|options| options.setting("ai.lease_duration", "2s"));
    notes.provider.behave(Behaviour::Hang);
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    let renewed =
        "SELECT count(*) FROM ai._vectorizer_q_1 WHERE lease_expires_at > lease_taken_at + interval '4 seconds'";
    notes.cluster.wait_for("the lease was renewed", renewed, "1");
    assert_eq!(notes.provider.counts().requests, 1);
    assert_eq!(queued(&notes.cluster, 1, "attempts").unwrap(), ["1"]);
}

/// What was read is written, and then the change is.
#[test]
fn state_changed_while_leased_goes_round_again() {
    let notes = Notes::start();
    notes.provider.behave_times(2, SLOW);
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    notes.cluster.execute("UPDATE note SET body = 'two'");
    wait_for_queued(&notes.cluster, 1, "version, lease IS NULL", &["2", "f"]);
    wait_until(
        "the first state is written",
        DEADLINE,
        || embedded(&notes.cluster),
        |seen| seen == &["1:one"],
    );
    wait_for_embedded(&notes.cluster, &["1:two"]);
    assert_eq!(notes.provider.counts().inputs, 2);
}

/// The lease of somebody else counts for as long as it says, and no longer.
#[test]
fn state_lease_that_ran_out_is_taken_again() {
    let notes = Notes::start_with(patient);
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    let before = Instant::now();
    notes.cluster.execute(
        "INSERT INTO note VALUES (2, 'two');
         SELECT ai._take_in(1);
         UPDATE ai._vectorizer_q_1
         SET lease = 1, lease_taken_at = now(), lease_expires_at = now() + interval '2 seconds', attempts = 1",
    );
    wait_for_embedded(&notes.cluster, &["1:one", "2:two"]);
    assert!(before.elapsed() >= Duration::from_secs(2), "{:?}", before.elapsed());
}

/// A document in S3, and a vectorizer that allows this many retries.
fn start_document(retries: u32, change: impl FnOnce(Options) -> Options) -> (Scene, String) {
    let scene = Scene::start_with(change);
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_document_table();
    scene.cluster.execute(&format!(
        "SELECT ai.create_vectorizer(
             'document'::regclass,
             loading => ai.loading_uri('uri', retries => {retries}),
             embedding => {EMBEDDING},
             destination => ai.destination_table('document_embeddings'))"
    ));
    (scene, uri)
}

/// No retries are allowed, but the version that failed is not the one that would be given up.
#[test]
fn state_changed_while_failing_gets_its_own_tries() {
    let (scene, uri) = start_document(0, |options| options.setting("ai.loading_timeout", "1s"));
    scene.s3.answer("a.txt", Answer::Hang);
    scene.insert_documents(&[&uri]);
    wait_until("it is asked for", DEADLINE, || scene.s3.gets("a.txt"), |gets| *gets > 0);
    scene.cluster.execute("UPDATE document SET updated_at = now()");
    scene.s3.heal();
    let chunks = || scene.chunks(&uri);
    wait_until("the new version is embedded", DEADLINE, chunks, |chunks| {
        chunks == &["Some text."]
    });
    scene.cluster.wait_until_settled();
    assert_eq!(scene.failed(), NONE);
    assert_eq!(scene.errors(), []);
}

#[test]
fn state_permanent_fails_at_once() {
    let notes = Notes::start_with(patient);
    notes.provider.behave(Behaviour::RejectInput("bad".to_owned()));
    notes.cluster.execute(
        "INSERT INTO note SELECT i, CASE i WHEN 7 THEN 'this is bad' ELSE 'note ' || i END FROM generate_series(1, 12) i",
    );
    notes.cluster.wait_until_settled();
    assert_eq!(failed(&notes.cluster), ["7:permanent"]);
    assert_eq!(errors(&notes.cluster), ["7:embedding:permanent:1"]);
    assert_eq!(embedded(&notes.cluster).len(), 11);
}

#[test]
fn state_failed_changed_is_embedded() {
    let notes = Notes::start_with(patient);
    notes.provider.behave(Behaviour::RejectInput("bad".to_owned()));
    add(&notes.cluster, 1, "this is bad");
    wait_for_failed(&notes.cluster, &["1:permanent"]);
    notes.cluster.execute("UPDATE note SET body = 'this is good'");
    wait_for_embedded(&notes.cluster, &["1:this is good"]);
    assert_eq!(failed(&notes.cluster), NONE);
    assert_eq!(errors(&notes.cluster), NONE);
}

/// The waits are of one to two seconds, then two to four.
#[test]
fn state_unknown_fails_the_third_time() {
    let notes = Notes::start_with(patient);
    notes.provider.behave(Behaviour::NotFinite);
    add(&notes.cluster, 1, "one");
    wait_for_failed(&notes.cluster, &["1:unknown"]);
    assert_eq!(errors(&notes.cluster), ["1:embedding:unknown:3"]);
    assert_eq!(notes.provider.counts().requests, 3);
    assert_eq!(queued(&notes.cluster, 1, "item"), None);
}

#[test]
fn state_transient_fails_after_its_retries() {
    let (scene, uri) = start_document(1, |options| options.setting("ai.loading_timeout", "500ms"));
    scene.s3.answer("a.txt", Answer::Hang);
    scene.insert_documents(&[&uri]);
    wait_until(
        "it is given up",
        DEADLINE,
        || scene.failed(),
        |failed| *failed == [uri.clone()],
    );
    let error = "SELECT concat_ws(':', step, class, occurrences) FROM ai.vectorizer_errors";
    assert_eq!(scene.cluster.column(error), ["loading:transient:2"]);
}

/// The user allows no retries, and the gateway has been answering with a page of HTML for a while.
#[test]
fn state_provider_out_of_order_fails_nobody() {
    let notes = Notes::start_with_retries(0);
    notes.provider.behave(Behaviour::Rubbish);
    add_many(&notes.cluster, 3);
    let tried = "SELECT min(occurrences) >= 3 AND count(*) = 3 FROM ai.vectorizer_errors WHERE class = 'transient'";
    notes.cluster.wait_for("each was tried three times", tried, "t");
    assert_eq!(failed(&notes.cluster), NONE);
    // Whoever knows that it is over need not wait.
    notes.provider.behave(Behaviour::Well);
    notes
        .cluster
        .execute("UPDATE ai._vectorizer_q_1 SET loading_retry_after = now() + interval '1 hour' WHERE lease IS NULL");
    notes
        .cluster
        .execute("SELECT ai.retry_vectorizer('public_note_embedding_store')");
    wait_for_embedded(&notes.cluster, &["1:note 1", "2:note 2", "3:note 3"]);
    assert_eq!(errors(&notes.cluster), NONE);
}

/// A minute is too long to wait with a lease in the hand: the documents go back, and the status says until when.
#[test]
fn state_throttled_waits_and_pays_nothing() {
    let notes = Notes::start_with(patient);
    notes.provider.behave(Behaviour::TooManyRequests {
        retry_after: Some(Duration::from_secs(60)),
    });
    add(&notes.cluster, 1, "one");
    let waits = "lease, attempts, loading_retries, loading_retry_after - now() > interval '50 seconds'";
    wait_for_queued(&notes.cluster, 1, waits, &["NULL", "0", "0", "t"]);
    assert_eq!(errors(&notes.cluster), NONE);
    let reason =
        "SELECT count(*) FROM ai.worker_status WHERE process = 'worker' AND reason LIKE '%throttled for another %'";
    notes.cluster.wait_for("the status says so", reason, "1");
    let waits_for = obstacle(&notes.cluster);
    assert!(
        waits_for.starts_with("all documents wait, the next one until "),
        "{waits_for}"
    );
    assert!(waits_for.ends_with(": it was throttled"), "{waits_for}");
    // Nobody asks before the time.
    add(&notes.cluster, 2, "two");
    wait_for_queued(&notes.cluster, 2, waits, &["NULL", "0", "0", "t"]);
    assert_eq!(notes.provider.counts().requests, 1);
}

#[test]
fn short_throttle_is_waited_out() {
    let notes = Notes::start();
    notes.provider.behave_times(
        2,
        Behaviour::TooManyRequests {
            retry_after: Some(Duration::from_secs(2)),
        },
    );
    add(&notes.cluster, 1, "one");
    let reason =
        "SELECT count(*) FROM ai.worker_status WHERE process = 'worker' AND reason LIKE '%throttled for another %'";
    notes.cluster.wait_for("the status says so", reason, "1");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    let seen = notes.provider.seen();
    assert_eq!(seen.len(), 3);
    for pair in seen.windows(2) {
        assert!(pair[1].at - pair[0].at >= Duration::from_secs(2));
    }
    assert_eq!(errors(&notes.cluster), NONE);
}

/// One document failed, one is embedded, one is with the provider, and of three in the queue one waits and one is a suspect.
fn in_every_state() -> Notes {
    let notes = Notes::start_with(|options| options.setting("ai.max_documents_in_flight", "1"));
    notes.provider.behave(Behaviour::RejectInput("bad".to_owned()));
    add(&notes.cluster, 1, "bad");
    wait_for_failed(&notes.cluster, &["1:permanent"]);
    add(&notes.cluster, 2, "two");
    wait_for_embedded(&notes.cluster, &["2:two"]);
    notes.provider.behave(SLOW);
    add(&notes.cluster, 3, "three");
    notes.wait_for_requests_in_flight(1);
    notes.cluster.execute(
        "INSERT INTO note VALUES (4, 'four'), (5, 'five'), (6, 'six');
         UPDATE ai._vectorizer_q_1 SET loading_retry_after = now() + interval '1 hour' WHERE id = 5;
         UPDATE ai._vectorizer_q_1 SET crashes = 1 WHERE id = 6",
    );
    notes
}

#[track_caller]
fn assert_empty(notes: &Notes) {
    wait_for_landing(&notes.cluster);
    assert_eq!(embedded(&notes.cluster), NONE);
    assert_eq!(notes.cluster.value("SELECT count(*) FROM ai._vectorizer_q_1"), "0");
    assert_eq!(failed(&notes.cluster), NONE);
    assert_eq!(errors(&notes.cluster), NONE);
}

#[test]
fn state_deleted_from_every_state() {
    let notes = in_every_state();
    notes.cluster.execute("DELETE FROM note");
    assert_eq!(notes.provider.counts().in_flight, 1, "one was still with the provider");
    assert_empty(&notes);
}

#[test]
fn truncated_from_every_state() {
    let notes = in_every_state();
    notes.cluster.execute("TRUNCATE note");
    assert_empty(&notes);
}

/// Every document gets a new name.
#[test]
fn renamed_from_every_state() {
    let notes = in_every_state();
    notes.cluster.execute("UPDATE note SET id = id + 10");
    notes.provider.behave(Behaviour::RejectInput("bad".to_owned()));
    notes.cluster.wait_until_settled();
    wait_for_embedded(&notes.cluster, &["12:two", "13:three", "14:four", "15:five", "16:six"]);
    assert_eq!(failed(&notes.cluster), ["11:permanent"]);
    assert_eq!(errors(&notes.cluster), ["11:embedding:permanent:1"]);
}

/// Nobody told the queue that the row is gone.
#[test]
fn state_gone_without_a_trigger_is_cleaned_up() {
    let notes = Notes::start();
    add_many(&notes.cluster, 2);
    wait_for_embedded(&notes.cluster, &["1:note 1", "2:note 2"]);
    notes.provider.behave_times(1, SLOW);
    notes.cluster.execute("UPDATE note SET body = 'changed' WHERE id = 1");
    notes.wait_for_requests_in_flight(1);
    notes
        .cluster
        .execute("SET session_replication_role = replica; DELETE FROM note WHERE id = 1");
    wait_for_embedded(&notes.cluster, &["2:note 2"]);
}

#[test]
fn state_null_document_has_no_chunks() {
    let notes = Notes::start();
    add_many(&notes.cluster, 2);
    wait_for_embedded(&notes.cluster, &["1:note 1", "2:note 2"]);
    notes.cluster.execute("UPDATE note SET body = NULL WHERE id = 1");
    wait_for_embedded(&notes.cluster, &["2:note 2"]);
    assert_eq!(errors(&notes.cluster), NONE);
}

/// Three chunks; then the same object again, and then one with another middle.
#[test]
fn state_unchanged_asks_nobody() {
    let scene = Scene::start();
    let paragraphs = |middle: &str| ["first ", middle, "third "].map(|word| word.repeat(100)).join("\n\n");
    let uri = scene.s3.put("a.txt", paragraphs("second "));
    scene.create_documents(&[&uri]);
    let chunks = "SELECT embedding_uuid || ' ' || left(chunk, 6) FROM document_embeddings ORDER BY chunk_seq";
    let before = wait_until(
        "embedded",
        DEADLINE,
        || scene.cluster.column(chunks),
        |chunks| chunks.len() == 3,
    );
    assert_eq!(scene.provider.counts().inputs, 3);
    scene.cluster.execute("UPDATE document SET updated_at = now()");
    wait_until(
        "it is read again",
        DEADLINE,
        || scene.s3.gets("a.txt"),
        |gets| *gets == 2,
    );
    scene.cluster.wait_until_settled();
    assert_eq!(scene.cluster.column(chunks), before);
    assert_eq!(scene.provider.counts().inputs, 3);
    scene.s3.put("a.txt", paragraphs("other "));
    scene.cluster.execute("UPDATE document SET updated_at = now()");
    let changed = |chunks: &Vec<String>| chunks.iter().any(|chunk| chunk.ends_with(" other "));
    let after = wait_until("the change arrives", DEADLINE, || scene.cluster.column(chunks), changed);
    assert_eq!([&after[0], &after[2]], [&before[0], &before[2]]);
    assert_eq!(scene.provider.counts().inputs, 4);
}

/// The text that the table refuses is in nobody's log.
#[test]
fn state_refused_row_fails_alone() {
    let notes = Notes::start_with(patient);
    notes
        .cluster
        .execute("ALTER TABLE note_embedding_store ADD CHECK (chunk <> 'confidential')");
    add(&notes.cluster, 1, "one");
    notes
        .cluster
        .execute("INSERT INTO note VALUES (2, 'two'), (3, 'confidential'), (4, 'four')");
    wait_for_embedded(&notes.cluster, &["1:one", "2:two", "4:four"]);
    assert_eq!(failed(&notes.cluster), ["3:permanent"]);
    assert_eq!(errors(&notes.cluster), ["3:writing:permanent:1"]);
    let said = "SELECT e::text FROM ai.vectorizer_errors e UNION ALL SELECT f::text FROM ai._vectorizer_q_failed_1 f";
    for row in notes.cluster.column(said) {
        assert!(!row.contains("confidential"), "{row}");
    }
    assert!(!notes.cluster.log().contains("confidential"));
}

/// A user's transaction has a row of the source: the others do not wait for it, and the worker waits for no lock. What was
/// read of a row that is being changed is written, and then the change is.
#[test]
fn state_locked_row_is_not_waited_for() {
    for (lock, free) in [
        (
            "SELECT FROM note WHERE id = 2 FOR UPDATE",
            &["1:note 1", "3:note 3"][..],
        ),
        (
            "UPDATE note SET body = 'changed' WHERE id = 2",
            &["1:note 1", "2:note 2", "3:note 3"],
        ),
    ] {
        let notes = Notes::start();
        notes.provider.behave(Behaviour::Slow(Duration::from_secs(2)));
        add_many(&notes.cluster, 3);
        notes.wait_for_requests_in_flight(1);
        let mut user = notes.cluster.connect().unwrap();
        user.batch_execute("BEGIN").unwrap();
        user.batch_execute(lock).unwrap();
        assert_eq!(embedded(&notes.cluster), NONE, "all are with the provider");
        notes.provider.behave(Behaviour::Well);
        wait_until(
            "those that are not locked are there",
            DEADLINE,
            || embedded(&notes.cluster),
            |seen| seen == free,
        );
        assert_eq!(
            notes.cluster.value("SELECT count(*) FROM pg_locks WHERE NOT granted"),
            "0"
        );
        assert_eq!(errors(&notes.cluster), NONE);
        user.batch_execute("COMMIT").unwrap();
        let second = notes.cluster.value("SELECT '2:' || body FROM note WHERE id = 2");
        wait_for_embedded(&notes.cluster, &["1:note 1", &second, "3:note 3"]);
        assert_eq!(errors(&notes.cluster), NONE);
    }
}

/// The tables of one vectorizer are locked; the other one works.
#[test]
fn state_locked_table_is_not_waited_for() {
    for table in ["note", "note_embedding_store", "ai._vectorizer_q_1"] {
        let notes = Notes::start();
        create_memos(&notes.cluster, EMBEDDING);
        notes.provider.behave(Behaviour::Slow(Duration::from_secs(2)));
        add_many(&notes.cluster, 3);
        notes.wait_for_requests_in_flight(1);
        let mut user = notes.cluster.connect().unwrap();
        user.batch_execute("BEGIN").unwrap();
        user.batch_execute(&format!("LOCK TABLE {table}")).unwrap();
        notes.provider.behave(Behaviour::Well);
        notes.wait_for_no_request();
        for id in 1..=5 {
            notes
                .cluster
                .execute(&format!("INSERT INTO memo VALUES ({id}, 'memo')"));
            let there = format!("SELECT count(*) FROM memo_embedding_store WHERE id = {id}");
            notes.cluster.wait_for("the memo is embedded", &there, "1");
        }
        user.batch_execute("COMMIT").unwrap();
        wait_for_embedded(&notes.cluster, &["1:note 1", "2:note 2", "3:note 3"]);
        assert_eq!(errors(&notes.cluster), NONE, "{table}");
    }
}

/// However many documents wait for a table that is locked: others have room, and what was paid for is kept.
#[test]
fn state_locked_table_leaves_room_for_others() {
    let notes = Notes::start_with(|options| options.setting("ai.max_documents_in_flight", "4"));
    create_memos(&notes.cluster, EMBEDDING);
    let mut user = notes.cluster.connect().unwrap();
    user.batch_execute("BEGIN; LOCK TABLE note_embedding_store IN EXCLUSIVE MODE")
        .unwrap();
    add_many(&notes.cluster, 10);
    notes.wait_for_texts(3);
    for id in 1..=5 {
        notes
            .cluster
            .execute(&format!("INSERT INTO memo VALUES ({id}, 'memo')"));
        let there = format!("SELECT count(*) FROM memo_embedding_store WHERE id = {id}");
        notes.cluster.wait_for("the memo is embedded", &there, "1");
    }
    // They are given back, their vectors are kept, and one at a time finds out whether the table is free.
    let put_aside = "SELECT count(DISTINCT item) >= 3 FROM ai._vectorizer_stash";
    notes.cluster.wait_for("vectors are put aside", put_aside, "t");
    notes.cluster.wait_for(
        "one of them is tried again",
        "SELECT count(*) FROM ai._vectorizer_q_1 WHERE lease IS NOT NULL",
        "1",
    );
    let before = notes.provider.counts().inputs;
    user.batch_execute("COMMIT").unwrap();
    notes.cluster.wait_until_settled();
    wait_for_no_worker(&notes.cluster);
    let right = "SELECT count(*) FROM note n JOIN note_embedding_store s ON s.id = n.id AND s.chunk = n.body";
    assert_eq!(notes.cluster.value(right), "10");
    assert!(before < 15, "{before} inputs");
    assert_eq!(notes.provider.counts().inputs, 10 + 5, "each was paid for once");
    assert_eq!(errors(&notes.cluster), NONE);
    assert_eq!(notes.cluster.value("SELECT count(*) FROM ai._vectorizer_stash"), "0");
}

/// The same for a vector in a column of the source, of whose rows a user has locked some.
#[test]
fn state_locked_row_keeps_its_vector() {
    let notes = Notes::start();
    notes
        .cluster
        .execute("CREATE TABLE card (id int PRIMARY KEY, body text)");
    notes.cluster.execute(&format!(
        "SELECT ai.create_vectorizer('card'::regclass, loading => ai.loading_column('body'), chunking => ai.chunking_none(),
             embedding => {EMBEDDING}, destination => ai.destination_column('vector'))"
    ));
    notes.provider.behave(Behaviour::Slow(Duration::from_secs(2)));
    notes.cluster.execute("INSERT INTO card VALUES (1, 'one'), (2, 'two')");
    notes.wait_for_requests_in_flight(1);
    let mut user = notes.cluster.connect().unwrap();
    user.batch_execute("BEGIN; SELECT FROM card WHERE id = 1 FOR UPDATE")
        .unwrap();
    let written = "SELECT count(*) FROM card WHERE vector IS NOT NULL";
    notes.cluster.wait_for("the other is written", written, "1");
    let put_aside = "SELECT count(*) FROM ai._vectorizer_stash";
    notes.cluster.wait_for("its vector is put aside", put_aside, "1");
    user.batch_execute("COMMIT").unwrap();
    notes.cluster.execute("SELECT ai.retry_vectorizer(2)");
    notes.cluster.wait_for("it is written", written, "2");
    notes.cluster.wait_until_settled();
    assert_eq!(notes.provider.counts().inputs, 2, "each was paid for once");
    assert_eq!(notes.cluster.value(put_aside), "0");
}

/// Every chunk is refused, as on a full disk, until the trigger `refuse` is dropped.
fn fill_disk(database: &Database) {
    database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON note_embedding_store FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
}

/// What the database cannot take for a while is not paid for again.
#[test]
fn state_refused_for_a_moment_is_paid_for_once() {
    let notes = Notes::start();
    fill_disk(&notes.cluster);
    add(&notes.cluster, 1, "one");
    wait_for_errors(&notes.cluster, &["1:writing:transient:1"]);
    notes.cluster.execute("DROP TRIGGER refuse ON note_embedding_store");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    assert_eq!(notes.provider.counts().inputs, 1);
    assert_eq!(errors(&notes.cluster), NONE);
}

/// What went wrong with the provider leaves the other steps their tries.
#[test]
fn state_each_step_has_its_tries() {
    let notes = Notes::start_with_retries(1);
    fill_disk(&notes.cluster);
    notes.provider.behave_times(2, Behaviour::ServerError);
    add(&notes.cluster, 1, "one");
    wait_for_errors(&notes.cluster, &["1:embedding:transient:2", "1:writing:transient:1"]);
    assert_eq!(failed(&notes.cluster), NONE);
    // The second failure of the same step is one too many.
    wait_for_failed(&notes.cluster, &["1:transient"]);
    assert_eq!(notes.provider.counts().inputs, 1);
}

/// A key that the queue does not take says so, once, and is in nobody's way.
#[test]
fn state_refused_change_is_noted_once() {
    let notes = Notes::start();
    notes
        .cluster
        .execute("ALTER TABLE ai._vectorizer_q_1 ADD CONSTRAINT small CHECK (id < 5)");
    add(&notes.cluster, 5, "five");
    let noted = "SELECT count(*) FROM ai.vectorizer_errors WHERE primary_key IS NULL AND class = 'permanent' AND occurrences >= 2";
    notes.cluster.wait_for("it is noted", noted, "1");
    assert_eq!(lines(&notes.cluster, "cannot take documents"), 1);
    notes
        .cluster
        .execute("ALTER TABLE ai._vectorizer_q_1 DROP CONSTRAINT small");
    wait_for_embedded(&notes.cluster, &["5:five"]);
    wait_for_errors(&notes.cluster, &NONE);
}

/// A row that the database itself cannot read is one row.
#[test]
fn state_unreadable_row_fails_alone() {
    let notes = Notes::start();
    notes
        .cluster
        .execute("CREATE TABLE page (id int PRIMARY KEY, body text, meta json, more jsonb)");
    notes.cluster.execute(&format!(
        "SELECT ai.create_vectorizer('page'::regclass, loading => ai.loading_column('body'), chunking => ai.chunking_none(),
             formatting => ai.formatting_python_template('$meta $more $chunk'), embedding => {EMBEDDING})"
    ));
    notes.cluster.execute(
        r#"INSERT INTO page VALUES (1, 'one', '1', '1'), (2, 'two', '{"a": "\u0000"}', '1'), (3, 'three', '1', '{"x": 1e400}'),
                                   (4, 'four', '1', '1')"#,
    );
    let failed = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM ai._vectorizer_q_failed_2";
    notes.cluster.wait_for("those are given up", failed, "2 3");
    notes.cluster.wait_until_settled();
    let written = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM page_embedding_store";
    assert_eq!(notes.cluster.value(written), "1 4");
    let said = "SELECT string_agg(primary_key ->> 'id' || ':' || step, ' ' ORDER BY primary_key ->> 'id') FROM ai.vectorizer_errors";
    assert_eq!(notes.cluster.value(said), "2:loading 3:loading");
}

/// Pages with a column of a type that the database reads by a function of the user: out of memory for bad ones, whose looks
/// are counted, and in conflict for others.
fn create_pages(database: &Database, retries: u32) {
    database.execute(&format!(
        "CREATE SEQUENCE looks;
         CREATE TYPE quality AS ENUM ('good', 'bad', 'in conflict');
         CREATE FUNCTION shown(quality) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
         BEGIN
             IF $1 = 'bad' THEN
                 PERFORM nextval('public.looks');
                 RAISE 'no room for it' USING ERRCODE = '53200';
             ELSIF $1 = 'in conflict' THEN
                 RAISE 'somebody has it' USING ERRCODE = '40001';
             END IF;
             RETURN '1';
         END
         $$;
         CREATE CAST (quality AS json) WITH FUNCTION shown(quality);
         CREATE TABLE page (id int PRIMARY KEY, body text, quality quality);
         SELECT ai.create_vectorizer('page'::regclass, loading => ai.loading_column('body', retries => {retries}),
             chunking => ai.chunking_none(), formatting => ai.formatting_python_template('$quality $chunk'),
             embedding => {EMBEDDING})"
    ));
}

/// What keeps all documents from being read is tried more and more rarely, though they can be taken each time.
#[test]
fn unreadable_documents_are_taken_more_and_more_rarely() {
    let notes = Notes::start();
    create_pages(&notes.cluster, 6);
    notes
        .cluster
        .execute("INSERT INTO page VALUES (1, 'one', 'bad'), (2, 'two', 'bad')");
    let noted = "SELECT count(*) FROM ai.vectorizer_errors WHERE primary_key IS NULL AND class = 'transient' AND occurrences >= 3";
    notes.cluster.wait_for("it is noted", noted, "1");
    // The first of a row says so.
    assert_eq!(lines(&notes.cluster, "cannot take documents"), 1);
    let tried = "SELECT string_agg(attempts::text, ' ' ORDER BY id) FROM ai._vectorizer_q_2";
    notes.cluster.wait_for("they are given back", tried, "0 0");
    // A commit has them looked at before, which is no refusal more.
    for id in 3..=12 {
        let looks = || notes.cluster.value("SELECT last_value FROM looks");
        let before = looks();
        notes
            .cluster
            .execute(&format!("INSERT INTO page VALUES ({id}, 'more', 'bad')"));
        wait_until("it is looked at", DEADLINE, looks, |now| *now != before);
    }
    let occurrences = notes.cluster.value("SELECT occurrences FROM ai._vectorizer_errors");
    assert!(occurrences.parse::<u32>().unwrap() < 10, "{occurrences} occurrences");
    notes.cluster.execute("DELETE FROM page WHERE id > 2");
    // After a minute or two, one pays for all.
    notes
        .cluster
        .execute("UPDATE ai._vectorizer_errors SET occurrences = 6");
    notes.cluster.reload();
    notes.cluster.wait_for("the oldest is tried by itself", tried, "1 0");
    notes.cluster.execute("UPDATE page SET quality = 'good'");
    notes.cluster.wait_until_settled();
    let written = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM page_embedding_store";
    assert_eq!(notes.cluster.value(written), "1 2");
    wait_for_errors(&notes.cluster, &NONE);
}

/// A failure that may pass, but always comes with the same document, is that document's own. So is a conflict that a
/// function only speaks of.
#[test]
fn a_row_that_is_never_read_keeps_nobody_waiting() {
    let notes = Notes::start();
    create_pages(&notes.cluster, 1);
    notes
        .cluster
        .execute("INSERT INTO page SELECT i, 'page', CASE i WHEN 2 THEN 'bad' WHEN 5 THEN 'in conflict' ELSE 'good' END::quality FROM generate_series(1, 20) i");
    let written = "SELECT count(*), count(*) FILTER (WHERE id IN (2, 5)) FROM page_embedding_store";
    let written = || notes.cluster.rows(written).swap_remove(0);
    wait_until("the others go on", DEADLINE, written, |seen| *seen == ["18", "0"]);
    wait_for_errors(&notes.cluster, &["2:loading:transient:1", "5:loading:transient:1"]);
    // One retry is allowed.
    let failed = "SELECT string_agg(id || ':' || class, ' ' ORDER BY id) FROM ai._vectorizer_q_failed_2";
    notes
        .cluster
        .wait_for("they are given up", failed, "2:transient 5:transient");
    notes.cluster.wait_until_settled();
    wait_for_errors(&notes.cluster, &["2:loading:transient:2", "5:loading:transient:2"]);
    notes.cluster.execute("UPDATE page SET quality = 'good'");
    wait_until("they are read", DEADLINE, written, |seen| *seen == ["20", "2"]);
    notes.cluster.wait_until_settled();
    wait_for_errors(&notes.cluster, &NONE);
}

/// Somebody else has the document by the time its vectors arrive.
#[test]
fn state_lost_lease_writes_nothing() {
    let notes = Notes::start_with(patient);
    notes.provider.behave_times(1, SLOW);
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    notes
        .cluster
        .execute("UPDATE ai._vectorizer_q_1 SET lease = 1, lease_expires_at = now() + interval '1 hour'");
    notes.wait_for_no_request();
    wait_for_landing(&notes.cluster);
    assert_eq!(embedded(&notes.cluster), NONE);
    assert_eq!(
        queued(&notes.cluster, 1, "lease, version, attempts").unwrap(),
        ["1", "1", "1"]
    );
}

#[test]
fn state_dropped_vectorizer_ends_its_flights() {
    let notes = Notes::start_with(patient);
    create_memos(&notes.cluster, EMBEDDING);
    notes.provider.behave(Behaviour::Hang);
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    let worker = notes.cluster.worker();
    notes.cluster.execute("SELECT ai.drop_vectorizer(1)");
    wait_for_landing(&notes.cluster);
    notes.provider.behave(Behaviour::Well);
    notes
        .cluster
        .execute("INSERT INTO memo VALUES (1, 'memo'); INSERT INTO note VALUES (2, 'two')");
    notes
        .cluster
        .wait_for("the other one works", "SELECT count(*) FROM memo_embedding_store", "1");
    assert_eq!(notes.cluster.worker(), worker);
    assert_eq!(embedded(&notes.cluster), NONE);
}

/// The object is gone for a while; its chunks stay.
#[test]
fn good_embeddings_outlive_a_failing_read() {
    let scene = Scene::start();
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_documents(&[&uri]);
    wait_until(
        "embedded",
        DEADLINE,
        || scene.chunks(&uri),
        |chunks| chunks == &["Some text."],
    );
    let gone = "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>";
    scene.s3.answer("a.txt", Answer::Say("404 Not Found", gone.to_owned()));
    scene.cluster.execute("UPDATE document SET updated_at = now()");
    let failed = "SELECT class FROM ai._vectorizer_q_failed_1";
    wait_until(
        "it has failed",
        DEADLINE,
        || scene.cluster.column(failed),
        |seen| seen == &["permanent"],
    );
    assert_eq!(scene.chunks(&uri), ["Some text."]);
    scene.s3.heal();
    scene.s3.put("a.txt", "Another text.");
    scene.cluster.execute("UPDATE document SET updated_at = now()");
    wait_until(
        "the new text",
        DEADLINE,
        || scene.chunks(&uri),
        |chunks| chunks == &["Another text."],
    );
    assert_eq!(scene.cluster.value("SELECT count(*) FROM ai.vectorizer_errors"), "0");
    assert_eq!(scene.cluster.column(failed), NONE);
}

/// Whatever the provider answers, and as loud as Postgres can be.
#[test]
fn key_is_never_seen() {
    let notes = Notes::start_with(|options| patient(options).setting("log_min_messages", "debug1"));
    let faults = [
        Behaviour::ServerError,
        Behaviour::Answer {
            status: 500,
            headers: vec![],
            body: format!("{{\"error\": {{\"message\": \"your key is {API_KEY}\"}}}}"),
        },
        Behaviour::Cut,
        Behaviour::Rubbish,
    ];
    for (id, fault) in (1..).zip(faults) {
        let before = notes.provider.counts().failed_requests;
        notes.provider.behave_times(1, fault);
        add(&notes.cluster, id, "text");
        let met = || notes.provider.counts().failed_requests;
        wait_until("it was met", DEADLINE, met, |met| *met > before);
    }
    notes.provider.behave(Behaviour::Unauthorized);
    add(&notes.cluster, 9, "text");
    wait_until(
        "the last is noted",
        DEADLINE,
        || obstacle(&notes.cluster),
        |reason| reason.contains("paused"),
    );
    assert!(
        notes
            .provider
            .seen()
            .iter()
            .all(|seen| seen.api_key.as_deref() == Some(API_KEY))
    );
    let everything = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'ai'";
    let mut places = vec![
        "pg_stat_activity".to_owned(),
        "pg_settings".to_owned(),
        "note_embedding_store".to_owned(),
    ];
    places.extend(
        notes
            .cluster
            .column(everything)
            .into_iter()
            .map(|table| format!("ai.{table}")),
    );
    for place in places {
        for row in notes.cluster.column(&format!("SELECT t::text FROM {place} t")) {
            assert!(!row.contains(API_KEY), "{place}: {row}");
        }
    }
    assert!(!notes.cluster.log().contains(API_KEY));
}

/// A row that changes at the very moment when it is taken: whatever the worker has read, it must not pass for the new
/// version. The sessions change each row as soon as the worker was woken for it.
#[test]
fn state_changed_while_being_taken_is_seen() {
    let notes = Notes::start();
    std::thread::scope(|scope| {
        for session in 0..4 {
            let notes = &notes;
            scope.spawn(move || {
                let mut user = notes.cluster.connect().unwrap();
                for id in (0..150).map(|number| number * 4 + session) {
                    user.execute("INSERT INTO note VALUES ($1, 'first')", &[&id]).unwrap();
                    user.execute("UPDATE note SET body = 'second' WHERE id = $1", &[&id])
                        .unwrap();
                    user.execute("UPDATE note SET body = 'last' WHERE id = $1", &[&id])
                        .unwrap();
                }
            });
        }
    });
    notes.cluster.wait_until_settled();
    let chunks = "SELECT chunk, count(*) FROM note_embedding_store GROUP BY 1";
    assert_eq!(notes.cluster.rows(chunks), [["last", "600"]]);
}
