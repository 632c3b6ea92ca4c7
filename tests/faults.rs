//! The life of a document when something goes wrong: each edge of its state machine and of its vectorizer's in
//! docs/states.md, and what a user sees of it. What the database refuses is in refusals.rs.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::time::{Duration, Instant};

use notes::*;
use provider::Behaviour;
use support::scene::API_KEY;
use support::{Answer, DEADLINE, Options, Scene, wait_until};

/// Long enough to do something to a document while it is with the provider.
const SLOW: Behaviour = Behaviour::Slow(Duration::from_secs(1));

/// A worker that stays.
fn patient(options: Options) -> Options {
    options.setting("ai.idle_timeout", "1h")
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
        (Behaviour::ZeroVector, "unknown"),
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
    assert_eq!(embedded(&notes.cluster).len(), 7);
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
    let error = "SELECT concat_ws(':', step, failure_class, occurrences) FROM ai.vectorizer_errors";
    assert_eq!(scene.cluster.column(error), ["loading:transient:2"]);
}

/// The user allows no retries, and the gateway has been answering with a page of HTML for a while.
#[test]
fn state_provider_out_of_order_fails_nobody() {
    let notes = Notes::start_with_retries(0);
    notes.provider.behave(Behaviour::Rubbish);
    add_many(&notes.cluster, 3);
    let tried =
        "SELECT min(occurrences) >= 3 AND count(*) = 3 FROM ai.vectorizer_errors WHERE failure_class = 'transient'";
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

/// One document failed, one is embedded, one is with the provider, and of three in the queue one waits and
/// one is a suspect.
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
    let failed = "SELECT failure_class FROM ai._vectorizer_q_failed_1";
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
