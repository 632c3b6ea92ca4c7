//! Who comes first where there is more to do than can be done at once.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::time::Duration;

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

/// Has somebody say something in the middle of a long work, and returns how many documents of that work went to the provider
/// after it was said and before `text`.
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
