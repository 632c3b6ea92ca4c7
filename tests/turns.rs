//! Who comes first where there is more to do than can be done at once.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::time::{Duration, Instant};

use notes::*;
use provider::Behaviour;
use support::{Options, Scene};

/// Documents of the worker in flight, at most.
const IN_FLIGHT: usize = 4;
/// So many that whoever comes after all of them is found out.
const MANY: u32 = 400;

/// With a provider that gives a test the time to say something.
fn slow(options: Options) -> Options {
    options.setting("ai.max_documents_in_flight", IN_FLIGHT.to_string())
}

/// The texts that have been with the provider, in order.
fn texts(scene: &Scene) -> Vec<String> {
    scene
        .provider
        .seen()
        .into_iter()
        .flat_map(|request| request.texts)
        .collect()
}

/// Has somebody say something in the middle of a long work, and returns how many documents of that work went
/// to the provider after it was said and before `text`.
#[track_caller]
fn wait_behind(scene: &Scene, sql: &str, text: &str) -> usize {
    support::wait_until(
        "the work has begun",
        support::DEADLINE,
        || texts(scene).len(),
        |seen| *seen > 2 * IN_FLIGHT,
    );
    scene.cluster.execute(sql);
    let said_after = texts(scene).len();
    assert!(said_after < MANY as usize / 2, "the work is nearly over");
    scene.cluster.wait_until_settled();
    let seen = texts(scene);
    let place = seen.iter().position(|seen| seen == text).expect("it was embedded");
    place.saturating_sub(said_after)
}

/// What somebody writes now is wanted now; what was there when the vectorizer was made can wait.
#[test]
fn fresh_rows_come_before_those_that_were_there() {
    let scene = Scene::start_with(slow);
    scene.provider.behave(Behaviour::Slow(Duration::from_millis(20)));
    scene.cluster.execute(&format!(
        "CREATE TABLE note (id int PRIMARY KEY, body text);
         INSERT INTO note SELECT i, 'note ' || i FROM generate_series(1, {MANY}) i;
         SELECT ai.create_vectorizer('note'::regclass, loading => ai.loading_column('body'),
             chunking => ai.chunking_none(), embedding => {EMBEDDING})"
    ));
    let behind = wait_behind(&scene, "INSERT INTO note VALUES (0, 'fresh')", "fresh");
    // Those that were in the worker's hands when it was written.
    assert!(behind <= IN_FLIGHT, "{behind} documents went first");
}

/// A vectorizer with much to do leaves room for one with little.
#[test]
fn vectorizers_take_turns() {
    let notes = Notes::start_with(slow);
    create_memos(&notes.cluster, EMBEDDING);
    notes.provider.behave(Behaviour::Slow(Duration::from_millis(20)));
    add_many(&notes.cluster, MANY);
    let behind = wait_behind(&notes, "INSERT INTO memo VALUES (1, 'memo')", "memo");
    // Those in its hands, and one turn of the other.
    assert!(behind <= 2 * IN_FLIGHT, "{behind} documents went first");
}

/// Owners share a provider and a key: what one's model meets there (no quota for a day, no answer, failures)
/// stops no other's.
#[test]
fn what_the_model_of_one_owner_meets_stops_no_other() {
    let a_day = Behaviour::TooManyRequests {
        retry_after: Some(Duration::from_secs(86_400)),
    };
    for behaviour in [a_day, Behaviour::Hang, Behaviour::ServerError] {
        let scene = Scene::start_with(|options| options.setting("ai.request_timeout", "10s"));
        let what = format!("{behaviour:?}");
        scene
            .provider
            .behave(Behaviour::OfModel("bad".to_owned(), Box::new(behaviour)));
        for (role, model) in [("mallory", "bad"), ("ann", "good")] {
            scene.cluster.execute(&format!(
                "CREATE ROLE {role} LOGIN;
                 GRANT USAGE ON FOREIGN SERVER ai_openai TO {role};
                 CREATE SCHEMA {role} AUTHORIZATION {role};
                 SET SESSION AUTHORIZATION {role};
                 CREATE TABLE {role}.note (id int PRIMARY KEY, body text);
                 SELECT ai.create_vectorizer('{role}.note'::regclass, name => '{role}',
                     loading => ai.loading_column('body'), chunking => ai.chunking_none(),
                     embedding => ai.embedding_openai('{model}', 8));
                 RESET SESSION AUTHORIZATION"
            ));
        }
        let embed_one = |id: usize| {
            let began = Instant::now();
            scene
                .cluster
                .execute(&format!("INSERT INTO ann.note VALUES ({id}, 'note {id}')"));
            let there = format!("SELECT count(*) FROM ann.note_embedding_store WHERE id = {id}");
            scene.cluster.wait_for("ann's note is embedded", &there, "1");
            began.elapsed()
        };
        embed_one(0);
        // Each in a request of its own, or nearly so, and more than there is room for.
        scene
            .cluster
            .execute("INSERT INTO mallory.note SELECT i, repeat('x', 900000) || i FROM generate_series(1, 40) i");
        let seen = || {
            scene
                .provider
                .seen()
                .iter()
                .filter(|request| request.model == "bad")
                .count()
        };
        support::wait_until("mallory's notes are sent", support::DEADLINE, seen, |seen| *seen > 0);
        // Longer than a request may take, so that some have timed out.
        let began = Instant::now();
        let mut id = 0;
        while began.elapsed() < Duration::from_secs(14) {
            id += 1;
            let took = embed_one(id);
            assert!(
                took < Duration::from_secs(6),
                "{what}: {took:?} after {:?}",
                began.elapsed()
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}
