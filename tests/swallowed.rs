//! Writes that a trigger or a rule of the owner swallows: nothing is written, and Postgres reports no error. Each is
//! an error of its document (or stops its vectorizer, where it is a table of ours), and nothing is lost.

mod support;

#[path = "support/notes.rs"]
mod notes;

use notes::{NONE, Notes, add, embedded, errors, failed, verified, wait_for_embedded};
use std::time::Duration;

use provider::Behaviour;
use support::{DEADLINE, Scene, wait_until};

/// Trigger functions that swallow what they are called for: all of it, or what `bad` is in.
const FUNCTIONS: &str = "
    CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE FUNCTION keep_old() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'";

fn start() -> Notes {
    let notes = Notes::start();
    notes.cluster.execute(FUNCTIONS);
    notes
}

/// How the first error row tells of it.
fn details(scene: &Scene, name: &str) -> String {
    scene.cluster.value(&format!(
        "SELECT coalesce((SELECT details ->> '{name}' FROM ai.vectorizer_errors ORDER BY primary_key NULLS FIRST LIMIT 1), '')"
    ))
}

fn wait_for_one_failed(scene: &Scene, id: &str) {
    let expected = [format!("{id}:unknown")];
    wait_until(
        "it is given up",
        DEADLINE,
        || failed(&scene.cluster),
        |seen| *seen == expected,
    );
}

/// Notes 1 and 3 are stored, 2 is not: it is in the failed queue with a reason and the name of what is at fault. When
/// that is gone, it is stored, and has been paid for once.
#[track_caller]
fn assert_given_up(notes: &Notes, culprit: &str, mend: &str) {
    notes
        .cluster
        .execute("INSERT INTO note VALUES (1, 'one'), (2, 'bad'), (3, 'three')");
    wait_for_one_failed(notes, "2");
    assert_eq!(embedded(&notes.cluster), ["1:one", "3:three"]);
    let (reason, hint) = (details(notes, "error_reason"), details(notes, "hint"));
    assert!(
        reason.contains("note_embedding_store") && reason.contains("nothing"),
        "{reason}"
    );
    assert!(hint.contains(culprit), "{hint}");
    assert_eq!(verified(&notes.cluster, "public_note_embedding_store")[0][1], "failed");
    notes.cluster.execute(mend);
    notes
        .cluster
        .execute("SELECT ai.retry_vectorizer('public_note_embedding_store')");
    wait_for_embedded(&notes.cluster, &["1:one", "2:bad", "3:three"]);
    assert_eq!(errors(&notes.cluster), NONE);
    let paid: Vec<String> = notes
        .provider
        .seen()
        .into_iter()
        .flat_map(|request| request.texts)
        .collect();
    assert_eq!(paid.iter().filter(|text| *text == "bad").count(), 1, "{paid:?}");
}

#[test]
fn a_chunk_that_a_trigger_swallows_is_an_error_of_its_document() {
    let notes = start();
    notes.cluster.execute(
        "CREATE TRIGGER quota BEFORE INSERT ON note_embedding_store FOR EACH ROW WHEN (NEW.chunk = 'bad') EXECUTE FUNCTION swallow()",
    );
    assert_given_up(&notes, "quota", "DROP TRIGGER quota ON note_embedding_store");
}

#[test]
fn a_chunk_that_a_rule_swallows_is_an_error_of_its_document() {
    let notes = start();
    notes
        .cluster
        .execute("CREATE RULE quota AS ON INSERT TO note_embedding_store WHERE NEW.chunk = 'bad' DO INSTEAD NOTHING");
    assert_given_up(&notes, "quota", "DROP RULE quota ON note_embedding_store");
}

/// What a trigger writes elsewhere, to be read from the destination all the same, is written.
#[test]
fn a_chunk_that_a_trigger_leads_to_a_part_of_the_destination_is_written() {
    let notes = start();
    notes.cluster.execute(
        "CREATE TABLE part () INHERITS (note_embedding_store);
         CREATE FUNCTION lead() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.part VALUES (NEW.*); RETURN NULL; END';
         CREATE TRIGGER lead BEFORE INSERT ON note_embedding_store FOR EACH ROW EXECUTE FUNCTION lead()",
    );
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    assert_eq!(notes.cluster.value("SELECT count(*) FROM part"), "1");
    assert_eq!(errors(&notes.cluster), NONE);
}

/// Chunks that are to go or to move, of a document of several.
#[test]
fn a_chunk_that_stays_where_it_was_is_an_error_of_its_document() {
    for (culprit, changed) in [
        (
            "BEFORE DELETE ON doc_embedding_store FOR EACH ROW EXECUTE FUNCTION swallow()",
            "one",
        ),
        (
            "BEFORE UPDATE ON doc_embedding_store FOR EACH ROW EXECUTE FUNCTION keep_old()",
            "new. one. two. three",
        ),
    ] {
        let scene = Scene::start();
        scene.cluster.execute(FUNCTIONS);
        scene.cluster.execute(
            "CREATE TABLE doc (id int PRIMARY KEY, body text); INSERT INTO doc VALUES (1, 'one. two. three');
             SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'), embedding => ai.embedding_openai('text-embedding-3-small', 8),
                 chunking => ai.chunking_character_text_splitter(5, 0, '. '))",
        );
        scene.cluster.wait_until_settled();
        scene.cluster.execute(&format!("CREATE TRIGGER culprit {culprit}"));
        scene.cluster.execute(&format!("UPDATE doc SET body = '{changed}'"));
        wait_for_one_failed(&scene, "1");
        assert!(
            details(&scene, "hint").contains("culprit"),
            "{culprit}: {}",
            details(&scene, "hint")
        );
        scene.cluster.execute(
            "DROP TRIGGER culprit ON doc_embedding_store; SELECT ai.retry_vectorizer('public_doc_embedding_store')",
        );
        let chunks = "SELECT string_agg(chunk, '. ' ORDER BY chunk_seq) FROM doc_embedding_store";
        scene.cluster.wait_for(culprit, chunks, changed);
        scene.cluster.wait_until_settled();
    }
}

/// The chunks of a row that is gone.
#[test]
fn chunks_of_a_deleted_row_that_stay_are_an_error() {
    let notes = start();
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    notes.cluster.execute(
        "CREATE TRIGGER culprit BEFORE DELETE ON note_embedding_store FOR EACH ROW EXECUTE FUNCTION swallow();
         SET default_transaction_isolation = 'repeatable read'",
    );
    notes.cluster.execute("DELETE FROM note");
    wait_for_one_failed(&notes, "1");
    assert!(
        details(&notes, "hint").contains("culprit"),
        "{}",
        details(&notes, "hint")
    );
}

#[test]
fn a_vector_that_does_not_reach_its_column_is_an_error_of_its_document() {
    for culprit in [
        "TRIGGER culprit BEFORE UPDATE ON doc FOR EACH ROW WHEN (NEW.body LIKE 'bad%' AND NEW.vector IS NOT NULL) EXECUTE FUNCTION keep_old()",
        "TRIGGER culprit BEFORE UPDATE ON doc FOR EACH ROW WHEN (NEW.body LIKE 'bad%' AND NEW.vector IS NOT NULL) EXECUTE FUNCTION swallow()",
        "RULE culprit AS ON UPDATE TO doc WHERE NEW.body LIKE 'bad%' AND NEW.vector IS NOT NULL DO INSTEAD NOTHING",
    ] {
        let scene = Scene::start();
        scene.cluster.execute(FUNCTIONS);
        scene.cluster.execute(
            "CREATE EXTENSION IF NOT EXISTS vector; CREATE TABLE doc (id int PRIMARY KEY, body text, vector vector(8));
             SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_column('vector'))",
        );
        scene.cluster.execute(&format!("CREATE {culprit}"));
        scene
            .cluster
            .execute("INSERT INTO doc VALUES (1, 'one'), (2, 'bad'), (3, 'three')");
        wait_for_one_failed(&scene, "2");
        let stored = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM doc WHERE vector IS NOT NULL";
        assert_eq!(scene.cluster.value(stored), "1 3", "{culprit}");
        assert!(
            details(&scene, "hint").contains("culprit"),
            "{culprit}: {}",
            details(&scene, "hint")
        );
        // What was there before is not taken for what was sent.
        scene.cluster.execute(if culprit.starts_with("TRIGGER") {
            "ALTER TABLE doc DISABLE TRIGGER culprit"
        } else {
            "DROP RULE culprit ON doc"
        });
        scene.cluster.execute("SELECT ai.retry_vectorizer('doc')");
        scene.cluster.wait_for("it is stored", stored, "1 2 3");
        scene.cluster.wait_until_settled();
        if culprit.starts_with("TRIGGER") {
            scene
                .cluster
                .execute("UPDATE doc SET body = 'bad as well' WHERE id = 2; ALTER TABLE doc ENABLE TRIGGER culprit");
            scene
                .cluster
                .execute("UPDATE doc SET vector = NULL, body = 'worse' WHERE id = 1");
            scene.cluster.wait_until_settled();
            scene
                .cluster
                .execute("DROP TRIGGER culprit ON doc; SELECT ai.retry_vectorizer('doc')");
        }
        scene.cluster.wait_for("all are stored", stored, "1 2 3");
    }
}

/// A vector that a trigger changes on purpose is stored as the trigger wants it; one that it keeps as it was is not.
#[test]
fn a_vector_that_a_trigger_changes_is_stored() {
    let scene = Scene::start();
    scene.cluster.execute(FUNCTIONS);
    scene.cluster.execute(
        "CREATE EXTENSION IF NOT EXISTS vector; CREATE TABLE doc (id int PRIMARY KEY, body text, vector vector(8));
         SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
             embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_column('vector'));
         CREATE FUNCTION double() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS 'BEGIN NEW.vector := NEW.vector + NEW.vector; RETURN NEW; END';
         CREATE TRIGGER double BEFORE UPDATE ON doc FOR EACH ROW WHEN (NEW.body = OLD.body AND OLD.vector IS DISTINCT FROM NEW.vector)
             EXECUTE FUNCTION double();
         INSERT INTO doc VALUES (1, 'one')",
    );
    let length = "SELECT round(vector_norm(vector)::numeric, 1) FROM doc";
    scene
        .cluster
        .wait_for("it is stored", "SELECT count(vector) FROM doc", "1");
    scene.cluster.wait_until_settled();
    let first = scene.cluster.value(length);
    scene.cluster.execute("UPDATE doc SET body = 'another'");
    scene.cluster.wait_until_settled();
    assert_eq!(errors(&scene.cluster), NONE);
    scene.cluster.execute(
        "DROP TRIGGER double ON doc;
         CREATE TRIGGER culprit BEFORE UPDATE ON doc FOR EACH ROW WHEN (NEW.body = OLD.body) EXECUTE FUNCTION keep_old();
         UPDATE doc SET body = 'a third'",
    );
    wait_for_one_failed(&scene, "1");
    assert!(!first.is_empty());
    assert_eq!(verified(&scene.cluster, "doc")[0][1], "failed");
}

/// A key that does not reach the queue stays in the intake, and is an error of its document; the others are taken in.
#[test]
fn a_key_that_the_queue_swallows_is_not_lost() {
    let notes = start();
    notes.cluster.execute(
        "CREATE TRIGGER culprit BEFORE INSERT ON ai._vectorizer_q_1 FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION swallow();
         INSERT INTO note VALUES (1, 'one'), (2, 'two'), (3, 'three')",
    );
    wait_until(
        "the others are embedded",
        DEADLINE,
        || embedded(&notes.cluster),
        |seen| *seen == ["1:one", "3:three"],
    );
    let look = || errors(&notes.cluster);
    wait_until("it says so", DEADLINE, look, |seen| {
        seen.len() == 1 && seen[0].starts_with("2:loading:")
    });
    assert!(
        details(&notes, "hint").contains("culprit"),
        "{}",
        details(&notes, "hint")
    );
    assert_eq!(verified(&notes.cluster, "public_note_embedding_store")[0][1], "queued");
    notes.cluster.execute("DROP TRIGGER culprit ON ai._vectorizer_q_1");
    wait_for_embedded(&notes.cluster, &["1:one", "2:two", "3:three"]);
    assert_eq!(errors(&notes.cluster), NONE);
}

/// What the queue does not note while a document is taken, or taken off, is an error of it, which is not worked on,
/// and paid for, again and again.
#[test]
fn a_document_that_the_queue_does_not_note_is_not_paid_for_again() {
    for (table, event, function) in [
        ("ai._vectorizer_q_1", "UPDATE", "keep_old"),
        ("ai._vectorizer_q_1", "UPDATE", "swallow"),
        ("ai._vectorizer_q_1", "DELETE", "swallow"),
        ("ai._vectorizer_intake_1", "DELETE", "swallow"),
    ] {
        let notes = start();
        notes.cluster.execute(&format!(
            "CREATE TRIGGER culprit BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {function}();
             INSERT INTO note VALUES (1, 'one'), (2, 'two')"
        ));
        let what = format!("{event} of {table} by {function}");
        let told = format!(
            "SELECT count(*) > 0 FROM ai.vectorizer_errors
             WHERE details ->> 'error_reason' LIKE '%nothing was written to {table}%' AND details ->> 'hint' LIKE '%culprit%'"
        );
        notes.cluster.wait_for(&what, &told, "t");
        // Several tries more.
        std::thread::sleep(Duration::from_secs(5));
        assert!(
            errors(&notes.cluster).len() <= 2,
            "{what}: {:#?}",
            errors(&notes.cluster)
        );
        notes.cluster.execute(&format!(
            "DROP TRIGGER culprit ON {table}; SELECT ai.retry_vectorizer('public_note_embedding_store')"
        ));
        wait_for_embedded(&notes.cluster, &["1:one", "2:two"]);
        wait_until(&what, DEADLINE, || errors(&notes.cluster), |seen| *seen == NONE);
        let paid: usize = notes.provider.seen().iter().map(|request| request.texts.len()).sum();
        assert_eq!(paid, 2, "{what}");
    }
}

/// What the queue keeps from one document keeps no other from being embedded.
#[test]
fn a_document_that_cannot_be_taken_is_in_nobodys_way() {
    let notes = start();
    notes.cluster.execute(
        "CREATE TRIGGER culprit BEFORE UPDATE ON ai._vectorizer_q_1 FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION keep_old();
         INSERT INTO note VALUES (1, 'one')",
    );
    let look = || errors(&notes.cluster);
    wait_until("it says so", DEADLINE, look, |seen| {
        seen.len() == 1 && seen[0].starts_with("1:loading:unknown")
    });
    for id in 2..5 {
        add(&notes.cluster, id, "another");
        let stored = format!("SELECT count(*) FROM note_embedding_store WHERE id = {id}");
        notes.cluster.wait_for("the other is embedded", &stored, "1");
    }
    notes.cluster.execute(
        "DROP TRIGGER culprit ON ai._vectorizer_q_1; SELECT ai.retry_vectorizer('public_note_embedding_store')",
    );
    notes
        .cluster
        .wait_for("all are embedded", "SELECT count(*) FROM note_embedding_store", "4");
}

/// A document that is to be given up, and that the failed queue swallows, stays in the queue, and says so.
#[test]
fn a_document_that_the_failed_queue_swallows_is_not_lost() {
    let notes = start();
    notes.cluster.execute(
        "ALTER TABLE note_embedding_store ADD CHECK (chunk <> 'bad');
         CREATE TRIGGER culprit BEFORE INSERT ON ai._vectorizer_q_failed_1 FOR EACH ROW EXECUTE FUNCTION swallow();
         INSERT INTO note VALUES (1, 'one'), (2, 'bad')",
    );
    let look = || errors(&notes.cluster);
    wait_until("it says so", DEADLINE, look, |seen| {
        seen.iter().any(|row| row.starts_with("2:writing:"))
    });
    let hint = "SELECT count(*) > 0 FROM ai.vectorizer_errors WHERE details ->> 'hint' LIKE '%culprit%'";
    notes.cluster.wait_for("it names the trigger", hint, "t");
    assert_eq!(embedded(&notes.cluster), ["1:one"]);
    assert_eq!(notes.cluster.value("SELECT count(*) FROM ai._vectorizer_q_1"), "1");
    notes.cluster.execute(
        "DROP TRIGGER culprit ON ai._vectorizer_q_failed_1; SELECT ai.retry_vectorizer('public_note_embedding_store')",
    );
    wait_until(
        "it is given up",
        DEADLINE,
        || failed(&notes.cluster),
        |seen| *seen == ["2:permanent"],
    );
}

/// A session that changes a row is told that the change cannot be noted.
#[test]
fn a_change_that_the_intake_swallows_is_refused() {
    let notes = start();
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    notes.cluster.execute(
        "CREATE TRIGGER culprit BEFORE INSERT ON ai._vectorizer_intake_1 FOR EACH ROW EXECUTE FUNCTION swallow()",
    );
    for sql in [
        "INSERT INTO note VALUES (2, 'two')",
        "UPDATE note SET body = 'new'",
        "BEGIN ISOLATION LEVEL REPEATABLE READ; DELETE FROM note; COMMIT",
        "DELETE FROM note_embedding_store; SELECT count(*) FROM ai.verify_vectorizer('public_note_embedding_store', repair => true)",
    ] {
        let refused = notes.cluster.try_rows(sql).expect_err(sql);
        let refused = refused.as_db_error().expect("the server says so");
        assert_eq!(refused.code().code(), "09000", "{sql}: {refused}");
        assert!(
            refused.hint().is_some_and(|hint| hint.contains("trigger")),
            "{sql}: {refused:?}"
        );
    }
    notes
        .cluster
        .execute("DROP TRIGGER culprit ON ai._vectorizer_intake_1; INSERT INTO note VALUES (2, 'two')");
    wait_for_embedded(&notes.cluster, &["1:one", "2:two"]);
}

/// A row that goes while its document is under way has nothing to be written, and nothing is wrong.
#[test]
fn a_row_that_goes_meanwhile_is_no_error() {
    let notes = start();
    notes.provider.behave(Behaviour::Slow(Duration::from_secs(2)));
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    notes
        .cluster
        .execute("SET session_replication_role = replica; DELETE FROM note; SET session_replication_role = origin");
    notes.provider.behave(Behaviour::Well);
    notes.cluster.wait_until_settled();
    assert_eq!(embedded(&notes.cluster), NONE);
    assert_eq!(errors(&notes.cluster), NONE);
}
