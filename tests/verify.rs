//! Whether embeddings are what they should be, as `ai.verify_vectorizer` finds out; and what was given up, tried again.

mod support;

use std::time::{Duration, Instant};

use support::{Answer, Database, Scene};

/// What is found, as `key:number:problem`.
fn found(database: &Database, arguments: &str) -> Vec<String> {
    database.column(&format!(
        "SELECT concat_ws(':', coalesce(primary_key ->> 'uri', primary_key ->> 'id'), coalesce(chunk_seq::text, 'all'), problem)
         FROM ai.verify_vectorizer({arguments}) ORDER BY 1"
    ))
}

const NAME: &str = "'public_document_embeddings_store'";
const NONE: [&str; 0] = [];

/// Documents in S3: one that is as it was embedded, one that has changed since, one that is gone, and many more than are
/// read at a time.
#[test]
fn objects_are_read_again() {
    let scene = Scene::start();
    let many: Vec<String> = (0..60)
        .map(|number| {
            scene
                .s3
                .put(&format!("{number:02}.md"), format!("# Document {number}\n\nIts text."))
        })
        .collect();
    scene.create_documents(&many.iter().map(String::as_str).collect::<Vec<_>>());
    scene.cluster.wait_until_settled();
    let asked = scene.provider.counts().requests;
    assert_eq!(found(&scene.cluster, NAME), NONE);

    scene.s3.put("07.md", "Something else.");
    scene.s3.delete("08.md");
    scene.cluster.execute(&format!(
        "DELETE FROM document_embeddings_store WHERE uri = '{}';
         SET session_replication_role = replica;
         DELETE FROM document WHERE uri = '{}';
         RESET session_replication_role",
        many[9], many[10]
    ));
    let wrong = [
        format!("{}:0:text", many[7]),
        format!("{}:all:unreadable", many[8]),
        format!("{}:all:missing", many[9]),
        format!("{}:all:orphan", many[10]),
    ];
    assert_eq!(found(&scene.cluster, NAME), wrong);
    assert_eq!(scene.provider.counts().requests, asked, "the provider is not asked");

    assert_eq!(found(&scene.cluster, &format!("{NAME}, repair => true")), wrong);
    scene.cluster.wait_until_settled();
    // It stays as it was, and the failed queue says why.
    assert_eq!(found(&scene.cluster, NAME), [format!("{}:all:failed", many[8])]);
    assert_eq!(scene.chunks(&many[7]), ["Something else."]);
    assert_eq!(scene.provider.counts().inputs, 62);
}

/// A server that does not answer keeps nobody.
#[test]
fn a_look_at_objects_can_be_cancelled() {
    let scene = Scene::start();
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_documents(&[&uri]);
    scene.cluster.wait_until_settled();
    scene.s3.answer("a.txt", Answer::Hang);
    let before = Instant::now();
    scene.cluster.execute("SET statement_timeout = '300ms'");
    let refusal = scene
        .cluster
        .refusal(&format!("SELECT * FROM ai.verify_vectorizer({NAME})"));
    assert_eq!(refusal.0, "57014", "{}", refusal.1);
    // ai.loading_timeout is two minutes.
    assert!(before.elapsed() < Duration::from_secs(30), "{:?}", before.elapsed());
}

/// An object that was not there, and then is.
#[test]
fn what_was_given_up_is_tried_again() {
    let scene = Scene::start();
    let (uri, other) = (scene.s3.uri("late.txt"), scene.s3.uri("never.txt"));
    scene.create_documents(&[&uri, &other]);
    scene.cluster.wait_until_settled();
    let failed = |database: &Database| {
        database.rows("SELECT primary_key ->> 'uri', class, attempts, queued FROM ai.vectorizer_failed ORDER BY 1")
    };
    let row = |uri: &str| vec![uri.to_owned(), "permanent".to_owned(), "1".to_owned(), "f".to_owned()];
    assert_eq!(failed(&scene.cluster), [row(&uri), row(&other)]);
    scene.s3.put("late.txt", "Here it is.");
    let retry = format!("SELECT ai.retry_vectorizer({NAME}, class => 'permanent')");
    assert_eq!(scene.cluster.value(&retry), "2");
    scene.cluster.wait_until_settled();
    assert_eq!(failed(&scene.cluster), [row(&other)]);
    assert_eq!(scene.chunks(&uri), ["Here it is."]);
    let retry = format!("SELECT ai.retry_vectorizer({NAME}, jsonb_build_object('uri', '{other}'))");
    assert_eq!(scene.cluster.value(&retry), "1");
}
