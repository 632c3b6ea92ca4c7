//! Documents that a process is said to have died with: they wait for others, and others do not wait for them for long.

mod support;

use std::time::{Duration, Instant};

use provider::Behaviour;
use support::lair::{LAIR, by, lair, vectorize};
use support::{Answer, DEADLINE, Scene, wait_until};

/// Less than any of mallory's documents hangs for (`ai.loading_timeout`, a minute).
const PATIENCE: Duration = Duration::from_secs(15);

/// Documents of mallory that are never loaded.
fn hanging(scene: &Scene, number: usize) -> Vec<String> {
    let hang = |place| {
        let name = format!("hang{place}");
        let uri = scene.s3.put(&name, "never");
        scene.s3.answer(&name, Answer::Hang);
        uri
    };
    (0..number).map(hang).collect()
}

fn vectorize_documents(scene: &Scene) {
    by(
        scene,
        "mallory",
        "CREATE TABLE m.doc (uri text PRIMARY KEY);
         SELECT ai.create_vectorizer('m.doc', name => 'doc', loading => ai.loading_uri('uri'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
}

/// From now on her queue says of each document that two processes died with it.
fn forge(scene: &Scene) {
    by(
        scene,
        "mallory",
        "CREATE FUNCTION m.forge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.crashes := 2; RETURN new; END $$;
         CREATE TRIGGER forge BEFORE INSERT ON ai._vectorizer_q_2 FOR EACH ROW EXECUTE FUNCTION m.forge()",
    );
}

fn add(scene: &Scene, uris: &[String]) {
    let rows: Vec<String> = uris.iter().map(|uri| format!("('{uri}')")).collect();
    by(
        scene,
        "mallory",
        &format!("INSERT INTO m.doc VALUES {}", rows.join(", ")),
    );
}

fn gets(scene: &Scene, number: usize) -> usize {
    (0..number).map(|place| scene.s3.gets(&format!("hang{place}"))).sum()
}

/// Rows of ann for a while, none of which waits for long.
#[track_caller]
fn ann_goes_on(scene: &Scene, what: &str, ids: std::ops::Range<usize>) {
    let waits: Vec<Duration> = ids
        .map(|id| {
            let began = Instant::now();
            by(scene, "ann", &format!("INSERT INTO a.honest VALUES ({id}, 'fine')"));
            let honest = format!("SELECT count(*) FROM a.honest_embedding_store WHERE id = {id}");
            scene.cluster.wait_for("ann's row", &honest, "1");
            // Their turn comes after five seconds.
            std::thread::sleep(Duration::from_secs(1));
            began.elapsed()
        })
        .collect();
    println!("{what}: {waits:?}");
    assert!(waits.iter().all(|wait| *wait < PATIENCE), "{what}: {waits:?}");
}

#[test]
fn forged_deaths_hold_up_nobody() {
    let mut scene = lair();
    vectorize(&scene, "ann", "a", "honest");
    vectorize_documents(&scene);
    ann_goes_on(&scene, "the beginning", 0..1);
    forge(&scene);
    add(&scene, &hanging(&scene, 4));
    wait_until("one flies", DEADLINE, || gets(&scene, 4), |gets| *gets > 0);
    ann_goes_on(&scene, "forged deaths", 1..9);
    assert_eq!(gets(&scene, 4), 1, "hers fly one by one all the same");
    // Those that a worker finds when it begins, too.
    scene.cluster.restart();
    wait_until("one flies again", DEADLINE, || gets(&scene, 4), |gets| *gets > 1);
    ann_goes_on(&scene, "forged deaths at a start", 9..17);
}

/// Documents of both were in the hands of a process that died.
#[test]
fn suspects_of_one_owner_hold_up_others_for_a_moment() {
    let scene = lair();
    vectorize(&scene, "ann", "a", "honest");
    vectorize_documents(&scene);
    ann_goes_on(&scene, "the beginning", 0..1);
    add(&scene, &hanging(&scene, 4));
    wait_until("all hang", DEADLINE, || gets(&scene, 4), |gets| *gets == 4);
    scene.provider.behave(Behaviour::Hang);
    by(&scene, "ann", "INSERT INTO a.honest VALUES (100, 'suspect')");
    wait_until(
        "so does ann's",
        DEADLINE,
        || scene.provider.counts().in_flight,
        |now| *now == 1,
    );
    forge(&scene);
    scene.cluster.kill_worker();
    scene.provider.behave(Behaviour::Well);
    // More that she forges.
    add(&scene, &[scene.s3.uri("hang5")]);
    ann_goes_on(&scene, "a death", 1..12);
    let suspect = "SELECT count(*) FROM a.honest_embedding_store WHERE id = 100";
    scene.cluster.wait_for("ann's suspect had its turn", suspect, "1");
}

/// What a provider keeps others waiting for is no reason to take nothing of theirs: they land when they land.
#[test]
fn suspects_do_not_wait_for_ever_for_others_to_land() {
    let scene = Scene::start();
    scene.cluster.execute(LAIR);
    vectorize(&scene, "ann", "a", "honest");
    vectorize_documents(&scene);
    ann_goes_on(&scene, "the beginning", 0..1);
    // Mallory's hang, and ann's have been in the hands of a process that died.
    scene.provider.behave(Behaviour::Hang);
    by(&scene, "ann", "INSERT INTO a.honest VALUES (100, 'suspect')");
    wait_until(
        "ann's hangs",
        DEADLINE,
        || scene.provider.counts().in_flight,
        |now| *now == 1,
    );
    scene.cluster.kill_worker();
    scene.provider.behave(Behaviour::Well);
    add(&scene, &hanging(&scene, 4));
    let suspect = "SELECT count(*) FROM a.honest_embedding_store WHERE id = 100";
    let began = Instant::now();
    scene.cluster.wait_for("ann's suspect", suspect, "1");
    assert!(began.elapsed() < 2 * PATIENCE, "{:?}", began.elapsed());
}
