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

/// Documents in S3: one that is as it was embedded, one that has changed since, one that is gone, and many
/// more than are read at a time.
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
        database
            .rows("SELECT primary_key ->> 'uri', failure_class, attempts, queued FROM ai.vectorizer_failed ORDER BY 1")
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

/// A table whose rows have their vectors in a column, embedded.
fn create_rows_with_vectors(scene: &Scene, rows: u32) {
    scene.cluster.execute(
        "CREATE TABLE doc (id int PRIMARY KEY, title text, body text);
         SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
             formatting => ai.formatting_python_template('$title: $chunk'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_column('vec'))",
    );
    scene.cluster.execute(&format!(
        "INSERT INTO doc SELECT i, 'title ' || i, 'body ' || i FROM generate_series(1, {rows}) i"
    ));
    scene.cluster.wait_until_settled();
}

/// There is no text beside a vector in a column: what is remembered tells that it is of another.
#[test]
fn a_vector_of_an_older_text_is_seen() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    create_rows_with_vectors(&scene, 9);
    cluster.execute("INSERT INTO doc VALUES (10, 'title', NULL), (11, 'title', '')");
    cluster.wait_until_settled();
    assert_eq!(found(cluster, "'doc'"), NONE);
    cluster.execute("UPDATE doc SET body = 'another' WHERE id = 8");
    // It waits, unless the worker was faster.
    let waits = found(cluster, "'doc'");
    assert!(waits == ["8:all:queued"] || waits == NONE, "{waits:?}");
    cluster.wait_until_settled();
    assert_eq!(found(cluster, "'doc'"), NONE);

    cluster.execute(
        "SET session_replication_role = replica;
         UPDATE doc SET body = 'other text' WHERE id = 2;
         UPDATE doc SET title = 'other title' WHERE id = 3;
         UPDATE doc SET body = NULL WHERE id = 4;
         UPDATE doc SET vec = NULL WHERE id = 5;
         UPDATE doc SET body = 'body 6' WHERE id = 6;
         INSERT INTO doc VALUES (12, 'title', 'never embedded');
         RESET session_replication_role",
    );
    let wrong = [
        "12:all:missing",
        "2:all:text",
        "3:all:text",
        "4:all:unexpected",
        "5:all:missing",
    ];
    assert_eq!(found(cluster, "'doc'"), wrong);
    assert_eq!(found(cluster, "'doc', repair => true"), wrong);
    cluster.wait_until_settled();
    assert_eq!(found(cluster, "'doc'"), NONE);

    // A vector that was kept, and put back when its text had become another.
    cluster.execute("CREATE TABLE kept AS SELECT id, vec FROM doc; UPDATE doc SET body = 'new' WHERE id = 7");
    cluster.wait_until_settled();
    cluster.execute(
        "SET session_replication_role = replica;
         UPDATE doc SET body = 'body 7' WHERE id = 7;
         RESET session_replication_role",
    );
    assert_eq!(found(cluster, "'doc'"), ["7:all:text"]);
}

/// What is read late is compared with what was remembered when the first row was read.
#[test]
fn a_look_sees_one_moment() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    create_rows_with_vectors(&scene, 100);
    cluster.execute("ALTER TABLE doc DISABLE TRIGGER USER; UPDATE doc SET vec = NULL WHERE id = 1; ALTER TABLE doc ENABLE TRIGGER USER");
    cluster.execute("BEGIN; DECLARE look NO SCROLL CURSOR FOR SELECT (f).problem FROM (SELECT ai._verify_vectorizer(1, false) AS f OFFSET 0) AS f");
    assert_eq!(cluster.column("FETCH 1 FROM look"), ["missing"]);
    let other = cluster.database(&cluster.value("SELECT current_database()"));
    other.execute("UPDATE doc SET body = body || '!'");
    other.wait_until_settled();
    assert_eq!(cluster.column("FETCH ALL FROM look"), NONE);
    cluster.execute("COMMIT");
}

/// What was written while its triggers were disabled nobody has noted, and the one who enables them is told.
/// Other statements on the table, and those that make the triggers, say nothing.
#[test]
fn enabled_triggers_tell_what_was_missed() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    let script = cluster.data().join("enable.sql");
    let said = |sql: &str| {
        std::fs::write(&script, format!("{sql};")).expect("the folder of the cluster can be written to");
        cluster.psql("postgres", &script).1
    };
    let made = "BEGIN; CREATE TABLE doc (id int PRIMARY KEY, body text);
        SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'),
            embedding => ai.embedding_openai('text-embedding-3-small', 8));
        ALTER TABLE doc ADD more int; COMMIT";
    assert_eq!(said(made), "");
    for way in ["USER", "ALL"] {
        assert_eq!(said(&format!("ALTER TABLE doc DISABLE TRIGGER {way}")), "");
        assert_eq!(
            said("INSERT INTO doc SELECT coalesce(max(id), 0) + 1, 'text' FROM doc"),
            ""
        );
        let notice = said(&format!("ALTER TABLE doc ENABLE TRIGGER {way}"));
        assert_eq!(
            notice.matches("triggers of vectorizer doc were enabled").count(),
            1,
            "{notice}"
        );
        assert!(
            notice.contains("ai.verify_vectorizer('doc', repair => true)"),
            "{notice}"
        );
        let expected = cluster.value("SELECT max(id) FROM doc");
        assert_eq!(
            found(cluster, "'doc', repair => true"),
            [format!("{expected}:all:missing")]
        );
        cluster.wait_for("it is embedded", "SELECT count(*) FROM doc_embedding_store", &expected);
        assert_eq!(said("ALTER TABLE doc ALTER more SET DEFAULT 1"), "");
        assert_eq!(said(&format!("ALTER TABLE doc ENABLE TRIGGER {way}")), "");
    }
}
