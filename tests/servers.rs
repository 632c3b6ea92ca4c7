//! Foreign servers: which address is asked with which key, who may use them, and what rows may name.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

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

    // Of a server that says where, but not with which key, none is sent: those of the environment were made
    // for another.
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

#[test]
fn what_a_server_allows_in_a_minute_is_waited_for_and_said() {
    let (scene, own) = scene();
    scene
        .cluster
        .execute("ALTER SERVER own OPTIONS (ADD requests_per_minute '2')");
    // One may go at once; the next is due in a minute, which nobody waits for here.
    add(&scene, 1);
    wait_for_embedded(&scene, 1);
    add(&scene, 2);
    let reason = "SELECT coalesce(string_agg(reason, ' '), '') FROM ai.worker_status";
    let reason = || scene.cluster.value(reason);
    let said = "the limits of a foreign server (requests_per_minute, tokens_per_minute) are reached";
    wait_until("it says why", DEADLINE, reason, |reason| reason.contains(said));
    assert_eq!(own.counts().requests, 1);
    // Whoever comes after the change is not held up by it, and what waits is not lost by a restart.
    scene
        .cluster
        .execute("ALTER SERVER own OPTIONS (DROP requests_per_minute)");
    add(&scene, 3);
    wait_for_embedded(&scene, 2);
    assert_eq!(own.counts().requests, 2);
    let third = "SELECT count(*) FROM app.note_embedding_store WHERE id = 3";
    assert_eq!(scene.cluster.value(third), "1");
}

#[test]
fn a_server_that_got_another_name_pauses_its_vectorizers_until_it_has_its_own_again() {
    let (scene, own) = scene();
    add(&scene, 1);
    wait_for_embedded(&scene, 1);
    scene.cluster.wait_until_settled();
    scene.cluster.execute("ALTER SERVER own RENAME TO theirs");
    add(&scene, 2);
    wait_for_pause(&scene, "the foreign server own does not exist");
    assert_eq!(own.counts().requests, 1);
    scene.cluster.execute("ALTER SERVER theirs RENAME TO own");
    wait_for_embedded(&scene, 2);
    wait_for_pause(&scene, "none");
}

#[test]
fn a_key_in_a_file_is_read_anew_when_it_is_replaced() {
    let (mut scene, own) = scene();
    let key = scene.cluster.write_secret("key", "canary-first\n");
    let at = key.display().to_string();
    let directory = key.parent().expect("it is in a folder").display().to_string();
    scene
        .cluster
        .restart_with(|options| options.setting("ai.secret_directory", &directory));
    scene
        .cluster
        .execute(&format!("ALTER SERVER own OPTIONS (SET api_key 'file:{at}')"));
    add(&scene, 1);
    wait_for_embedded(&scene, 1);
    // As it is done by those who rotate keys: another file in its place.
    let next = scene.cluster.write_secret("next", "canary-second\n");
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

/// A vectorizer of URIs over the server `docs`, which is made with these options.
fn create_documents_from(scene: &Scene, kind: &str, options: &str, role: Option<&str>) {
    let role = role.map_or_else(String::new, |role| format!(", aws_role_arn => '{role}'"));
    scene.cluster.execute(&format!(
        "CREATE SERVER docs TYPE '{kind}' FOREIGN DATA WRAPPER ai_source OPTIONS ({options});
         SELECT ai.create_vectorizer('document'::regclass, loading => ai.loading_uri('uri', server => 'docs'{role}),
             embedding => ai.embedding_openai('text-embedding-3-small', 8),
             destination => ai.destination_table('document_embeddings'))"
    ));
}

#[test]
fn rows_name_only_what_their_server_allows() {
    let scene = Scene::start();
    let open = scene.s3.put("public/a.txt", "For everybody.");
    let closed = scene.s3.put("private/a.txt", "For nobody.");
    scene.create_document_table();
    let inside = "http://169.254.169.254/latest/meta-data/";
    scene.insert_documents(&[&open, &closed, inside, "/etc/passwd"]);
    let public = scene.s3.uri("public");
    let role = "arn:aws:iam::123456789012:role/reader";
    let options = format!("allowed_urls '{public}', external_id 'tenant-9', allowed_roles '{role}'");
    create_documents_from(&scene, "s3", &options, Some(role));
    scene.cluster.wait_until_settled();
    assert_eq!(scene.chunks(&open), ["For everybody."]);
    assert_eq!(scene.s3.gets("private/a.txt"), 0, "it is not asked for");
    let reasons = "SELECT reason FROM ai.vectorizer_failed ORDER BY primary_key ->> 'uri'";
    let reasons = scene.cluster.column(reasons).join("\n");
    assert!(
        reasons.contains(&format!("{closed} is not at a place that its server allows")),
        "{reasons}"
    );
    assert!(reasons.contains("of type s3, and not for files"), "{reasons}");
    assert!(
        reasons.contains("of type s3, and not for documents on the web"),
        "{reasons}"
    );

    // The role is assumed under the server's external id, and may do no more than read there.
    let requests = scene.s3.requests();
    let asked: Vec<&str> = requests
        .iter()
        .filter(|request| request.body.contains("Action=AssumeRole"))
        .map(|request| request.body.as_str())
        .collect();
    assert_eq!(asked.len(), 1, "{asked:#?}");
    assert!(asked[0].contains("ExternalId=tenant-9"), "{asked:?}");
    assert!(
        asked[0].contains("Policy=") && asked[0].contains("public%2A"),
        "{asked:?}"
    );
}

#[test]
fn a_server_of_the_web_opens_one_host_and_nothing_inside() {
    let scene = Scene::start();
    scene.create_document_table();
    let uris = [
        "http://2852039166/latest/meta-data/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://localhost/",
    ];
    scene.insert_documents(&uris);
    scene.insert_documents(&["https://other.example/"]);
    create_documents_from(
        &scene,
        "http",
        "allowed_urls 'http://169.254.169.254, http://[::ffff:169.254.169.254], http://localhost'",
        None,
    );
    scene.cluster.wait_until_settled();
    let reasons = scene
        .cluster
        .column("SELECT reason FROM ai.vectorizer_failed ORDER BY reason");
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    let private = reasons
        .iter()
        .filter(|reason| reason.contains("is not on the public internet"));
    assert_eq!(private.count(), 3, "{reasons:?}");
}

#[test]
fn an_own_endpoint_is_asked_without_a_signature_where_the_server_says_so() {
    let scene = Scene::start();
    let uri = scene.s3.put_public("a.txt", "For everybody.");
    scene.create_document_table();
    scene.insert_documents(&[&uri]);
    create_documents_from(
        &scene,
        "s3",
        "anonymous 'true', path_style 'true', region 'eu-central-1'",
        None,
    );
    scene.cluster.wait_until_settled();
    assert_eq!(scene.chunks(&uri), ["For everybody."]);
    let requests = scene.s3.requests();
    let mut gets = requests.iter().filter(|request| request.method == "GET");
    assert!(gets.all(|request| !request.headers.contains_key("authorization")));
}

/// Servers and their privileges are dumped like any other object, and a vectorizer finds them again.
#[test]
fn a_server_of_ones_own_is_dumped_and_restored() {
    let (scene, own) = scene();
    scene
        .cluster
        .execute("CREATE USER MAPPING FOR app SERVER own OPTIONS (api_key 'env:OPENAI_API_KEY')");
    add(&scene, 1);
    wait_for_embedded(&scene, 1);
    scene.cluster.wait_until_settled();
    let archive = scene.cluster.data().join("own.dump");
    let archive = archive.to_str().expect("temporary folders have plain names");
    let run = |program: &str, arguments: &[&str]| {
        let output = scene
            .cluster
            .client_program(program)
            .args(["-U", "postgres"])
            .args(arguments)
            .output();
        let output = output.expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run("pg_dump", &["-d", "postgres", "-Fc", "-f", archive]);
    let dumped = fs::read(archive).expect("pg_dump wrote it");
    assert!(!String::from_utf8_lossy(&dumped).contains(OWN_KEY));
    scene
        .cluster
        .execute("SELECT ai.drop_vectorizer('notes', drop_all => true)");
    scene.cluster.execute("CREATE DATABASE new");
    run("pg_restore", &["--exit-on-error", "-d", "new", archive]);
    let new = scene.cluster.database("new");
    own.reset();
    new.execute("INSERT INTO app.note VALUES (2, 'Note 2.')");
    let count = "SELECT count(*) FROM app.note_embedding_store";
    new.wait_for("notes are embedded", count, "2");
    assert_eq!(keys(&own), [support::scene::API_KEY]);
}
