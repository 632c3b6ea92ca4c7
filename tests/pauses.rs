//! A vectorizer that cannot work at all stands still, says why, and goes on by itself once that is mended.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::time::Duration;

use notes::*;
use provider::Behaviour;
use support::{DEADLINE, Database, Scene, wait_until};

/// Ends the wait of a pause: as if its half minute had passed.
#[track_caller]
fn let_pause_end(database: &Database) {
    wait_for_no_worker(database);
    database.execute("UPDATE ai._vectorizer_state SET retry_at = now()");
    database.execute("SELECT ai._wake_worker()");
}

/// A table of an ordinary role, which takes a privilege from itself and gives it back.
#[test]
fn state_lost_privilege_pauses() {
    let scene = Scene::start();
    scene.cluster.execute(
        "CREATE ROLE owner; GRANT CREATE ON SCHEMA public TO owner; GRANT USAGE ON FOREIGN SERVER ai_openai TO owner;
         SET SESSION AUTHORIZATION owner",
    );
    create_notes(&scene.cluster, 6);
    scene
        .cluster
        .execute("RESET SESSION AUTHORIZATION; REVOKE INSERT ON note_embedding_store FROM owner");
    add_many(&scene.cluster, 3);
    wait_for_errors(&scene.cluster, &["all:writing:configuration:1"]);
    let reason = obstacle(&scene.cluster);
    assert!(
        reason.contains("permission denied for table note_embedding_store"),
        "{reason}"
    );
    assert_eq!(failed(&scene.cluster), NONE);
    scene.cluster.execute("GRANT INSERT ON note_embedding_store TO owner");
    scene.cluster.reload();
    wait_for_embedded(&scene.cluster, &["1:note 1", "2:note 2", "3:note 3"]);
    assert_eq!(errors(&scene.cluster), NONE);
    assert_eq!(obstacle(&scene.cluster), "NULL");
}

/// Many documents meet the fault, and one row says so.
#[test]
fn state_configuration_pauses_the_vectorizer() {
    let forbidden = Behaviour::Answer {
        status: 403,
        headers: vec![],
        body: r#"{"error": {"message": "This key may not use the model."}}"#.to_owned(),
    };
    for fault in [
        Behaviour::Unauthorized,
        forbidden,
        Behaviour::NotFound,
        Behaviour::WrongSize,
    ] {
        let notes = Notes::start();
        notes.provider.behave(fault);
        add_many(&notes.cluster, 30);
        wait_for_errors(&notes.cluster, &["all:embedding:configuration:1"]);
        wait_for_landing(&notes.cluster);
        let queue = "SELECT count(*), sum(attempts), count(lease) FROM ai._vectorizer_q_1";
        assert_eq!(notes.cluster.rows(queue), [["30", "0", "0"]]);
        assert_eq!(errors(&notes.cluster), ["all:embedding:configuration:1"]);
        let reason = obstacle(&notes.cluster);
        assert!(reason.starts_with("paused until "), "{reason}");
        assert_eq!(failed(&notes.cluster), NONE);
    }
}

/// An object that would be paid for is not even asked for; other vectorizers work.
#[test]
fn state_missing_key_fetches_nothing() {
    let scene = Scene::start();
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_document_table();
    scene.insert_documents(&[&uri]);
    scene.cluster.execute(
        "SELECT ai.create_vectorizer('document'::regclass, loading => ai.loading_uri('uri'),
                embedding => ai.embedding_openai('text-embedding-3-small', 8, api_key_name => 'NO_SUCH_KEY'))",
    );
    let said = "SELECT message, details::text FROM ai.vectorizer_errors";
    let rows = wait_until(
        "an error row",
        DEADLINE,
        || scene.cluster.rows(said),
        |rows| rows.len() == 1,
    );
    assert!(rows[0].iter().any(|text| text.contains("NO_SUCH_KEY")), "{rows:?}");
    create_memos(&scene.cluster, EMBEDDING);
    scene.cluster.execute("INSERT INTO memo VALUES (1, 'memo')");
    scene
        .cluster
        .wait_for("the other one works", "SELECT count(*) FROM memo_embedding_store", "1");
    assert_eq!(scene.s3.gets("a.txt"), 0);
}

fn paused(fault: Behaviour) -> Notes {
    let notes = Notes::start_with(|options| options.setting("ai.idle_timeout", "100ms"));
    notes.provider.behave(fault);
    add_many(&notes.cluster, 3);
    wait_for_errors(&notes.cluster, &["all:embedding:configuration:1"]);
    // What was sent together with the first must not be taken for an answer to what comes next.
    wait_for_landing(&notes.cluster);
    notes
}

/// One document finds out, then the others follow.
#[test]
fn state_probe_resumes_the_vectorizer() {
    let notes = paused(Behaviour::Unauthorized);
    notes.provider.behave(Behaviour::Well);
    let before = notes.provider.seen().len();
    let_pause_end(&notes.cluster);
    wait_for_embedded(&notes.cluster, &["1:note 1", "2:note 2", "3:note 3"]);
    assert_eq!(notes.provider.seen()[before].texts.len(), 1);
    assert_eq!(errors(&notes.cluster), NONE);
    assert_eq!(obstacle(&notes.cluster), "NULL");
    assert_eq!(notes.cluster.value("SELECT count(*) FROM ai._vectorizer_state"), "0");
}

#[test]
fn state_second_pause_is_longer() {
    let notes = paused(Behaviour::Unauthorized);
    let pause =
        "SELECT pauses, retry_at - now() BETWEEN interval '20 seconds' * pauses AND interval '30 seconds' * pauses
                 FROM ai._vectorizer_state";
    assert_eq!(notes.cluster.rows(pause), [["1", "t"]]);
    let requests = notes.provider.counts().requests;
    let_pause_end(&notes.cluster);
    wait_until(
        "it is paused again",
        DEADLINE,
        || notes.cluster.rows(pause),
        |rows| rows == &[["2", "t"]],
    );
    assert_eq!(notes.provider.counts().requests, requests + 1);
    assert_eq!(errors(&notes.cluster), ["all:embedding:configuration:2"]);
}

#[test]
fn state_probe_passes_over_a_bad_document() {
    let text = || "note 1".to_owned();
    for (fault, class, tries) in [
        (Behaviour::RejectInput(text()), "permanent", 1),
        (Behaviour::ForbidInput(text()), "unknown", 3),
    ] {
        let notes = paused(Behaviour::Unauthorized);
        notes.provider.behave(fault);
        let_pause_end(&notes.cluster);
        wait_for_embedded(&notes.cluster, &["2:note 2", "3:note 3"]);
        assert_eq!(failed(&notes.cluster), [format!("1:{class}")]);
        assert_eq!(errors(&notes.cluster), [format!("1:embedding:{class}:{tries}")]);
    }
}

/// A filter in front of the provider refuses one text as if the key was wrong, whatever it is sent with.
#[test]
fn state_forbidden_text_fails_alone() {
    let notes = Notes::start();
    notes.provider.behave(Behaviour::ForbidInput("note 2".to_owned()));
    add_many(&notes.cluster, 5);
    wait_for_errors(&notes.cluster, &["2:embedding:unknown:1"]);
    add(&notes.cluster, 6, "note 6");
    let others = ["1:note 1", "3:note 3", "4:note 4", "5:note 5", "6:note 6"];
    wait_for_embedded(&notes.cluster, &others);
    assert_eq!(failed(&notes.cluster), ["2:unknown"]);
    assert_eq!(errors(&notes.cluster), ["2:embedding:unknown:3"]);
    assert_eq!(obstacle(&notes.cluster), "NULL");
    let reason = "SELECT reason FROM ai.vectorizer_failed";
    let reason = notes.cluster.value(reason);
    assert!(
        reason.starts_with("this text is refused, others are accepted: "),
        "{reason}"
    );
    assert!(reason.contains("403"), "{reason}");
}

#[test]
fn state_reload_ends_a_pause() {
    let notes = paused(Behaviour::WrongSize);
    notes.provider.behave(Behaviour::Well);
    notes.cluster.reload();
    notes.cluster.execute("SELECT ai._wake_worker()");
    wait_for_embedded(&notes.cluster, &["1:note 1", "2:note 2", "3:note 3"]);
    assert_eq!(errors(&notes.cluster), NONE);
}

/// Nobody else would take back what is written down.
#[test]
fn nothing_left_to_try_ends_a_pause() {
    let notes = paused(Behaviour::Unauthorized);
    let asked = notes.provider.counts().requests;
    notes.cluster.execute("DELETE FROM note");
    let_pause_end(&notes.cluster);
    wait_for_errors(&notes.cluster, &NONE);
    let pauses = "SELECT count(*) FROM ai._vectorizer_state";
    notes.cluster.wait_for("it is not paused any more", pauses, "0");
    assert_eq!(notes.provider.counts().requests, asked);
}

/// Whoever alters tables of his own would else have the provider asked again for everybody else, and again.
#[test]
fn altering_another_table_ends_no_pause() {
    let notes = paused(Behaviour::Unauthorized);
    create_memos(&notes.cluster, EMBEDDING);
    let resumes = "SELECT coalesce((SELECT retry_at::text FROM ai._vectorizer_state WHERE id = 1), 'at once')";
    let resumes = || notes.cluster.value(resumes);
    let before = resumes();
    notes
        .cluster
        .execute("ALTER TABLE memo ADD more int; CREATE SCHEMA attic; ALTER SCHEMA attic RENAME TO cellar");
    assert_eq!(resumes(), before);
    // That of its own table does: it may be what was wrong.
    notes.cluster.execute("ALTER TABLE note ADD more int");
    wait_until("it is tried again", DEADLINE, resumes, |now| *now != before);
}

/// Faults that nobody mends: whatever is tried again, and however often, the rows that say so stay as many as
/// they are, and the log of the server says nothing new.
#[test]
fn faults_that_stay_fill_neither_tables_nor_the_log() {
    const ROUNDS: usize = 6;
    const DOCUMENTS: u32 = 20;
    let faults = [
        // Of the configuration, of the provider, and of each document.
        (Behaviour::Unauthorized, "1"),
        (Behaviour::ServerError, "20"),
        (Behaviour::RejectInput("note".to_owned()), "20"),
    ];
    for (fault, rows) in faults {
        let scene = Scene::start();
        create_notes(&scene.cluster, 0);
        let what = format!("{fault:?}");
        scene.provider.behave(fault);
        add_many(&scene.cluster, DOCUMENTS);
        let said = "SELECT count(*), coalesce(sum(pg_column_size(e)), 0) FROM ai.vectorizer_errors e";
        let (mut asked, mut seen) = (0, Vec::new());
        for round in 0..ROUNDS {
            let told = wait_until(
                "the fault is met and noted again",
                DEADLINE,
                || {
                    let held = scene.cluster.value("SELECT count(lease) FROM ai._vectorizer_q_1");
                    (
                        scene.cluster.rows(said).swap_remove(0),
                        held,
                        scene.provider.counts().requests,
                    )
                },
                |(told, held, requests)| told[0] == rows && held == "0" && *requests > asked,
            );
            asked = told.2;
            wait_for_landing(&scene.cluster);
            // But for what Postgres says of each reload.
            let log = scene.cluster.log();
            let log = log.lines().filter(|line| !line.contains(" postmaster[")).count();
            seen.push((told.0[1].parse::<f64>().unwrap(), log));
            if round + 1 < ROUNDS {
                // A reload ends a pause, and the others are asked for.
                scene
                    .cluster
                    .execute("SELECT ai.retry_vectorizer(1); UPDATE note SET body = body || '!'");
                scene.cluster.reload();
            }
        }
        let (size, log) = seen[0];
        for (later, longer) in &seen[1..] {
            assert_eq!(*longer, log, "{what}: {}", scene.cluster.log());
            // The reason of one may be longer than that of another.
            assert!(*later < size * 1.5, "{what}: {seen:?}");
        }
    }
}

/// A pause lasts for half a minute.
const WITHOUT_A_PAUSE: Duration = Duration::from_secs(15);

/// Statements that break a vectorizer, and those that mend it, one right after the other: whatever the worker
/// sees in between, and whenever it notes that, no pause is left.
#[test]
fn what_is_mended_at_once_is_not_paused() {
    let notes = Notes::start();
    add(&notes.cluster, 0, "first");
    wait_for_embedded(&notes.cluster, &["0:first"]);
    let store = "note_embedding_store";
    let changes = [
        (
            format!("ALTER TABLE {store} DROP COLUMN embedding CASCADE"),
            format!("ALTER TABLE {store} ADD COLUMN embedding vector(8)"),
        ),
        (
            format!("ALTER TABLE {store} RENAME embedding TO away"),
            format!("ALTER TABLE {store} RENAME away TO embedding"),
        ),
        (
            format!("ALTER TABLE {store} RENAME chunk TO away"),
            format!("ALTER TABLE {store} RENAME away TO chunk"),
        ),
        (
            "ALTER TABLE note DROP COLUMN body CASCADE".to_owned(),
            "ALTER TABLE note ADD COLUMN body text".to_owned(),
        ),
        (
            "ALTER TABLE note DROP CONSTRAINT note_pkey; ALTER TABLE note RENAME id TO away".to_owned(),
            "ALTER TABLE note RENAME away TO id; ALTER TABLE note ADD PRIMARY KEY (id)".to_owned(),
        ),
    ];
    let mut id = 0;
    for round in 0..8 {
        for (breaks, mends) in &changes {
            id += 1;
            notes.cluster.execute(breaks);
            notes.cluster.execute(mends);
            add(&notes.cluster, id, "later");
            let there = format!("SELECT count(*) FROM {store} WHERE id = {id} AND chunk = 'later'");
            let there = || notes.cluster.value(&there);
            wait_until(&format!("{breaks}, round {round}"), WITHOUT_A_PAUSE, there, |count| {
                count == "1"
            });
        }
    }
    wait_for_errors(&notes.cluster, &NONE);
    assert_eq!(obstacle(&notes.cluster), "NULL");
}

/// What is said to be missing is what is.
#[test]
fn the_reason_of_a_pause_names_what_is_missing() {
    let notes = Notes::start();
    notes
        .cluster
        .execute("ALTER TABLE note_embedding_store DROP COLUMN embedding CASCADE");
    wait_for_errors(&notes.cluster, &["all:loading:configuration:1"]);
    let reason = obstacle(&notes.cluster);
    let missing = "its destination table public.note_embedding_store has no column embedding any more";
    assert!(reason.contains(missing), "{reason}");
}

/// It is tried once more, in case that a name has just changed; not for ever.
#[test]
fn a_single_document_meets_a_fault_once() {
    let notes = Notes::start();
    notes.cluster.execute(
        "CREATE FUNCTION commits() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN EXECUTE 'COMMIT'; RETURN NEW; END $$;
         CREATE TRIGGER commits BEFORE INSERT ON note_embedding_store FOR EACH ROW EXECUTE FUNCTION commits()",
    );
    add(&notes.cluster, 1, "one");
    wait_for_errors(&notes.cluster, &["all:writing:configuration:1"]);
    wait_for_landing(&notes.cluster);
    notes.cluster.execute("DROP TRIGGER commits ON note_embedding_store");
    notes.cluster.execute("SELECT ai.retry_vectorizer(1)");
    wait_for_embedded(&notes.cluster, &["1:one"]);
}
