//! Foreign servers: which address is asked with which key, who may use them, and what rows may name.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use provider::Provider;
use support::{DEADLINE, Scene, wait_until};

const OWN_KEY: &str = "canary-own-key-9876543210";

/// A scene with a provider of its own, and the foreign server `own` that leads to it with a key of its own.
fn scene() -> (Scene, Provider) {
    let own = Provider::start();
    let scene = Scene::start_with(|options| options.env("OWN_KEY", OWN_KEY));
    scene.cluster.execute(&format!(
        "CREATE SERVER own TYPE 'openai' FOREIGN DATA WRAPPER ai_provider
             OPTIONS (base_url '{}', api_key 'env:OWN_KEY');
         CREATE ROLE app; CREATE SCHEMA app AUTHORIZATION app; GRANT USAGE ON FOREIGN SERVER own TO app;
         SET SESSION AUTHORIZATION app;
         CREATE TABLE app.note (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('app.note'::regclass, name => 'notes', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8, server => 'own'),
             destination => ai.destination_table('note_embedding'));
         RESET SESSION AUTHORIZATION",
        own.base_url()
    ));
    (scene, own)
}

fn add(scene: &Scene, id: u32) {
    scene
        .cluster
        .execute(&format!("INSERT INTO app.note VALUES ({id}, 'Note {id}.')"));
}

fn wait_for_embedded(scene: &Scene, number: u32) {
    let count = "SELECT count(*) FROM app.note_embedding_store";
    scene.cluster.wait_for("notes are embedded", count, &number.to_string());
}

fn pause(scene: &Scene) -> String {
    let reason = "SELECT coalesce((SELECT concat_ws(' | ', reason, hint) FROM ai._vectorizer_state), 'none')";
    scene.cluster.value(reason)
}

fn wait_for_pause(scene: &Scene, reason: &str) {
    wait_until("a pause", DEADLINE, || pause(scene), |now| now.contains(reason));
}

/// The keys that a provider was sent, in order.
fn keys(provider: &Provider) -> Vec<String> {
    provider
        .seen()
        .into_iter()
        .map(|request| request.api_key.unwrap_or_default())
        .collect()
}

#[test]
fn a_server_binds_an_address_to_a_key() {
    let (scene, own) = scene();
    add(&scene, 1);
    wait_for_embedded(&scene, 1);
    assert_eq!(keys(&own), [OWN_KEY]);
    assert_eq!(scene.provider.counts().requests, 0, "nobody else was asked");

    // Of a server that says where, but not with which key, none is sent: those of the environment were made for another.
    scene.cluster.execute("ALTER SERVER own OPTIONS (DROP api_key)");
    add(&scene, 2);
    wait_for_embedded(&scene, 2);
    assert_eq!(keys(&own), [OWN_KEY, ""]);

    // A role may have a key of its own.
    scene
        .cluster
        .execute("CREATE USER MAPPING FOR app SERVER own OPTIONS (api_key 'env:OPENAI_API_KEY')");
    add(&scene, 3);
    wait_for_embedded(&scene, 3);
    assert_eq!(keys(&own)[2], support::scene::API_KEY);
    assert!(!scene.cluster.log().contains(OWN_KEY));
}

#[test]
fn usage_that_is_lost_pauses_and_resumes_when_it_is_back() {
    let (scene, own) = scene();
    add(&scene, 1);
    wait_for_embedded(&scene, 1);
    scene.cluster.wait_until_settled();
    scene.cluster.execute("REVOKE USAGE ON FOREIGN SERVER own FROM app");
    add(&scene, 2);
    wait_for_pause(&scene, "permission denied");
    let reason = pause(&scene);
    assert!(reason.contains("permission denied for foreign server own"), "{reason}");
    assert!(reason.contains("GRANT USAGE ON FOREIGN SERVER own TO app"), "{reason}");
    assert_eq!(own.counts().requests, 1);
    scene.cluster.execute("GRANT USAGE ON FOREIGN SERVER own TO app");
    wait_for_embedded(&scene, 2);
    wait_for_pause(&scene, "none");

    // As for a table, so for a new owner of it.
    scene
        .cluster
        .execute("CREATE ROLE heir; GRANT USAGE, CREATE ON SCHEMA app TO heir; ALTER TABLE app.note OWNER TO heir");
    add(&scene, 3);
    wait_for_pause(&scene, "TO heir");
    scene.cluster.execute("GRANT USAGE ON FOREIGN SERVER own TO heir");
    wait_for_embedded(&scene, 3);
}

/// A file that only the server may read.
fn write_secret(path: &Path, like: &Path, content: &str) {
    fs::write(path, content).expect("the folder of the test can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its own file");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(like).expect("the data folder is there"));
    std::os::unix::fs::chown(path, Some(owner), None).expect("to the user of the server");
}

#[test]
fn a_key_in_a_file_is_read_anew_when_it_is_replaced() {
    let (mut scene, own) = scene();
    let data = scene.cluster.data();
    let directory = data.join("secrets");
    fs::create_dir(&directory).expect("the data folder can be written");
    let key = directory.join("key");
    write_secret(&key, &data, "canary-first\n");
    let (at, directory) = (key.display().to_string(), directory.display().to_string());
    scene
        .cluster
        .restart_with(|options| options.setting("ai.secret_directory", &directory));
    scene
        .cluster
        .execute(&format!("ALTER SERVER own OPTIONS (SET api_key 'file:{at}')"));
    add(&scene, 1);
    wait_for_embedded(&scene, 1);
    // As it is done by those who rotate keys: another file in its place.
    let next = key.with_extension("next");
    write_secret(&next, &data, "canary-second\n");
    fs::rename(&next, &key).expect("both are in one folder");
    add(&scene, 2);
    wait_for_embedded(&scene, 2);
    assert_eq!(keys(&own), ["canary-first", "canary-second"]);

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("its own file");
    add(&scene, 3);
    wait_for_pause(&scene, "is open to others");
    let log = scene.cluster.log();
    assert!(!log.contains("canary-first") && !log.contains("canary-second"));
}
