//! One owner, with as many vectorizers as it likes, leaves places in flight for others.

mod support;

use std::time::Duration;

use provider::Behaviour;
use support::lair::{LAIR, by, vectorize};
use support::{DEADLINE, Scene, wait_until};

const PLACES: usize = 32;
/// What one owner may have of them beside another.
const MOST: usize = PLACES - PLACES / 4;

/// Ten vectorizers of mallory, and one of ann, with room for few documents in flight.
fn scene(model: &str) -> Scene {
    let scene = Scene::start_with(|options| {
        options
            .setting("ai.max_documents_in_flight", PLACES.to_string())
            .setting("ai.request_timeout", "1h")
    });
    scene.cluster.execute(LAIR);
    vectorize(&scene, "ann", "a", "honest");
    for number in 0..10 {
        by(
            &scene,
            "mallory",
            &format!(
                "CREATE TABLE m.c{number} (id int PRIMARY KEY, body text);
                 SELECT ai.create_vectorizer('m.c{number}', name => 'c{number}', loading => ai.loading_column('body'),
                     chunking => ai.chunking_none(), embedding => ai.embedding_openai('{model}', 4))"
            ),
        );
    }
    scene
}

fn in_flight(scene: &Scene) -> usize {
    let number = "SELECT coalesce(max(in_flight), 0) FROM ai.worker_status WHERE process = 'worker'";
    scene.cluster.value(number).parse().expect("a number")
}

#[track_caller]
fn ann_is_served_beside(scene: &Scene) {
    let seen = || in_flight(scene);
    wait_until("mallory has what she may have", DEADLINE, seen, |number| {
        *number >= MOST
    });
    for id in 1..=3 {
        by(scene, "ann", &format!("INSERT INTO a.honest VALUES ({id}, 'fine')"));
        let honest = format!("SELECT count(*) FROM a.honest_embedding_store WHERE id = {id}");
        scene.cluster.wait_for("ann's row", &honest, "1");
    }
    assert!(in_flight(scene) >= MOST, "mallory's documents are still in the air");
}

/// Documents whose texts were cut are not given back: that they were is known nowhere else.
#[test]
fn documents_that_wait_for_a_lock_leave_places_for_others() {
    let scene = scene("text-embedding-3-small");
    let mut session = scene.cluster.connect().expect("a session");
    let locks: Vec<String> = (0..10)
        .map(|number| format!("LOCK TABLE m.c{number}_embedding_store IN SHARE MODE"))
        .collect();
    session
        .batch_execute(&format!(
            "SET SESSION AUTHORIZATION mallory; BEGIN; {}",
            locks.join("; ")
        ))
        .expect("her own tables");
    for number in 0..10 {
        by(
            &scene,
            "mallory",
            &format!("INSERT INTO m.c{number} SELECT n, repeat('🦀', 2900) || ' ' || n FROM generate_series(1, 20) n"),
        );
    }
    ann_is_served_beside(&scene);
    session.batch_execute("COMMIT").expect("the end");
    scene.cluster.wait_until_settled();
    for number in 0..10 {
        let written = format!("SELECT count(*) FROM m.c{number}_embedding_store");
        assert_eq!(scene.cluster.value(&written), "20");
    }
}

#[test]
fn documents_that_wait_for_a_provider_leave_places_for_others() {
    let scene = scene("hangs");
    let hangs = Behaviour::Slow(Duration::from_secs(3_600));
    scene
        .provider
        .behave(Behaviour::OfModel("hangs".to_owned(), Box::new(hangs)));
    for number in 0..10 {
        by(
            &scene,
            "mallory",
            &format!("INSERT INTO m.c{number} SELECT n, 'text ' || n FROM generate_series(1, 20) n"),
        );
    }
    ann_is_served_beside(&scene);
}

/// Documents that are too large for what is kept for small ones.
#[test]
fn large_documents_that_wait_for_a_provider_leave_memory_for_others() {
    let scene = Scene::start_with(|options| {
        options
            .setting("ai.max_memory", "64MB")
            .setting("ai.request_timeout", "1h")
    });
    scene.cluster.execute(LAIR);
    vectorize(&scene, "ann", "a", "honest");
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.large (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('m.large', name => 'large', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('hangs', 4))",
    );
    let hangs = Behaviour::Slow(Duration::from_secs(3_600));
    scene
        .provider
        .behave(Behaviour::OfModel("hangs".to_owned(), Box::new(hangs)));
    let lines = |id: &str, number: u32| {
        format!("string_agg('line ' || l || ' of ' || {id}, E'\\n\\n') FROM generate_series(1, {number}) l")
    };
    by(
        &scene,
        "mallory",
        &format!(
            "INSERT INTO m.large SELECT n, (SELECT {}) FROM generate_series(1, 60) n",
            lines("n", 70_000)
        ),
    );
    let hers = || (in_flight(&scene), scene.provider.counts().in_flight);
    wait_until(
        "mallory has what she may have",
        DEADLINE,
        hers,
        |(documents, requests)| *documents >= 40 && *requests > 0,
    );
    by(
        &scene,
        "ann",
        &format!("INSERT INTO a.honest SELECT 1, {}", lines("1", 50_000)),
    );
    let honest = "SELECT count(*) > 100 FROM a.honest_embedding_store";
    scene.cluster.wait_for("ann's document", honest, "t");
    assert!(in_flight(&scene) >= 40, "mallory's documents are still in the air");
}
