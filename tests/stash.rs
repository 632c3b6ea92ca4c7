//! Whatever goes wrong with some of the requests of a document: what the others brought is not paid for again.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::time::Duration;

use notes::{NONE, errors, failed, wait_for_errors, wait_for_no_worker};
use provider::Behaviour;
use support::{Options, Scene};

/// More than two requests' worth.
const LINES: u64 = 5000;

const STASH: &str = "SELECT count(*) FROM ai._vectorizer_stash";
const CHUNKS: &str = "SELECT count(*) FROM note_embedding_store WHERE chunk = 'line ' || chunk_seq + 1";

/// A table with a vectorizer that makes a chunk of every line.
fn start_with(change: impl FnOnce(Options) -> Options) -> Scene {
    let scene = Scene::start_with(change);
    scene.cluster.execute(
        "CREATE TABLE note (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer(
             'note'::regclass,
             loading => ai.loading_column('body'),
             chunking => ai.chunking_character_text_splitter(1, 0, E'\\n'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8)
         )",
    );
    scene
}

/// A document of all lines.
fn add(scene: &Scene) {
    scene.cluster.execute(&format!(
        "INSERT INTO note SELECT 1, string_agg('line ' || i, E'\\n' ORDER BY i) FROM generate_series(1, {LINES}) i"
    ));
}

/// The first request fails at once; the others, which are with the provider by then, are answered a while later.
#[test]
fn a_failed_request_costs_no_other_one() {
    for (fault, class) in [
        (Behaviour::ServerError, "transient"),
        (Behaviour::Cut, "transient"),
        (Behaviour::Unauthorized, "configuration"),
    ] {
        let scene = start_with(|options| options);
        let what = format!("{fault:?}");
        scene.provider.behave_times(1, fault);
        scene
            .provider
            .behave_times(2, Behaviour::Slow(Duration::from_millis(500)));
        add(&scene);
        if class == "configuration" {
            wait_for_errors(&scene.cluster, &["all:embedding:configuration:1"]);
            scene.cluster.reload();
            scene.cluster.execute("SELECT ai._wake_worker()");
        } else {
            wait_for_errors(&scene.cluster, &["1:embedding:transient:1"]);
        }
        scene.cluster.wait_for("it is embedded", CHUNKS, &LINES.to_string());
        scene.cluster.wait_until_settled();
        assert_eq!(scene.provider.counts().inputs, LINES, "{what}");
        assert_eq!(errors(&scene.cluster), NONE, "{what}");
        assert_eq!(scene.cluster.value(STASH), "0", "{what}");
    }
}

/// Whatever refuses the note.
#[test]
fn a_failure_that_cannot_be_noted_costs_no_other_request() {
    let scene = start_with(|options| options);
    scene.cluster.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON ai._vectorizer_errors FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    scene.provider.behave_times(1, Behaviour::ServerError);
    scene
        .provider
        .behave_times(2, Behaviour::Slow(Duration::from_millis(500)));
    add(&scene);
    let put_aside = format!("SELECT count(*) BETWEEN 1 AND {LINES} - 1 FROM ai._vectorizer_stash");
    scene.cluster.wait_for("vectors are put aside", &put_aside, "t");
}

/// A document that was given up because of one line.
fn give_up(idle_timeout: &str) -> Scene {
    let scene = start_with(|options| options.setting("ai.idle_timeout", idle_timeout));
    scene.provider.behave(Behaviour::RejectInput("line 2500".to_owned()));
    add(&scene);
    wait_for_errors(&scene.cluster, &["1:embedding:permanent:1"]);
    assert_eq!(failed(&scene.cluster), ["1:permanent"]);
    let (paid, kept) = (scene.provider.counts().inputs, scene.cluster.value(STASH));
    assert!(paid > 0);
    // No word of ours among them: the other parts of the document show that the provider accepts texts.
    assert_eq!(kept, paid.to_string(), "all that is paid for is kept");
    scene
}

#[test]
fn an_edit_of_a_rejected_text_costs_no_other_one() {
    let scene = give_up("100ms");
    wait_for_no_worker(&scene.cluster);
    scene.provider.behave(Behaviour::Well);
    scene
        .cluster
        .execute("UPDATE note SET body = replace(body, 'line 2500', 'line two')");
    scene
        .cluster
        .wait_for("it is embedded", CHUNKS, &(LINES - 1).to_string());
    scene.cluster.wait_until_settled();
    assert_eq!(scene.provider.counts().inputs, LINES);
    assert_eq!(failed(&scene.cluster), NONE);
    assert_eq!(scene.cluster.value(STASH), "0");
}

#[test]
fn a_document_that_was_given_up_takes_its_vectors_along() {
    // With the worker that has put them aside, and with the next.
    for idle_timeout in ["1h", "100ms"] {
        let scene = give_up(idle_timeout);
        if idle_timeout == "100ms" {
            wait_for_no_worker(&scene.cluster);
        }
        scene
            .cluster
            .execute("DELETE FROM note; INSERT INTO note VALUES (2, 'line 1')");
        scene.cluster.wait_for("it is embedded", CHUNKS, "1");
        scene.cluster.wait_for("nothing is left", STASH, "0");
    }
}
