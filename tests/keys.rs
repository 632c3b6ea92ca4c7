//! Primary keys and names that are longer, or emptier, than others.

mod support;

use support::Scene;

/// As long as an index of the source takes it, and too long for that of the destination, which has the
/// numbers of the chunks, too.
#[test]
fn a_key_that_is_too_long_for_an_index_is_named() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE TABLE doc (key text PRIMARY KEY, body text); ALTER TABLE doc ALTER key SET STORAGE PLAIN");
    cluster.execute(
        "SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    let random = |length: usize| {
        format!("(SELECT left(string_agg(md5(n::text), ''), {length}) FROM generate_series(1, 400) AS n)")
    };
    cluster.execute(&format!(
        "INSERT INTO doc VALUES ({}, 'long'), ('short', 'short')",
        random(2_690)
    ));
    let failed = "SELECT reason FROM ai.vectorizer_failed";
    cluster.wait_for("it is given up", "SELECT count(*) FROM ai.vectorizer_failed", "1");
    let reason = cluster.value(failed);
    assert!(
        reason.contains("index row size") && reason.contains("for index \"doc_embedding_store"),
        "{reason}"
    );
    assert!(!reason.contains("c4ca4238"), "{reason}");
    let hint = cluster.value("SELECT details ->> 'hint' FROM ai.vectorizer_errors");
    assert!(hint.contains("shorten the primary key"), "{hint}");
    cluster.wait_for(
        "the other is embedded",
        "SELECT string_agg(chunk, ' ') FROM doc_embedding_store",
        "short",
    );
    // An index of the owner's own.
    cluster.execute("CREATE INDEX doc_texts ON doc_embedding_store (chunk)");
    cluster.execute(&format!("INSERT INTO doc VALUES ('text', {})", random(12_000)));
    let said =
        "SELECT count(*) FROM ai.vectorizer_failed WHERE reason LIKE 'index row requires % bytes, maximum size is %'";
    cluster.wait_for("it says so", said, "1");
}

/// What is derived from a name that fills a name of Postgres stays apart.
#[test]
fn names_that_leave_no_room_are_told_apart() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    let names = [
        "ü".repeat(31),
        "名".repeat(21),
        "a".repeat(62),
        "a".repeat(63),
        "é".repeat(24),
        "x".repeat(48),
    ];
    for (number, name) in names.iter().enumerate() {
        cluster.execute(&format!(
            "CREATE TABLE \"{name}\" (id int PRIMARY KEY, body text); INSERT INTO \"{name}\" VALUES (1, 'one')"
        ));
        cluster.execute(&format!(
            "SELECT ai.create_vectorizer('\"{name}\"', name => 'v{number}', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8))"
        ));
        let store = cluster.value(&format!(
            "SELECT target_table FROM ai.vectorizer_status WHERE name = 'v{number}'"
        ));
        let view = cluster.value(&format!(
            "SELECT view FROM ai.vectorizer_status WHERE name = 'v{number}'"
        ));
        cluster.wait_for(name, &format!("SELECT count(*) FROM {view}"), "1");
        cluster.execute(&format!("SELECT ai.drop_vectorizer('v{number}', drop_all => true)"));
        assert_ne!(store, view);
    }
    // As it may be given, too.
    cluster.execute("CREATE TABLE doc (id int PRIMARY KEY, body text); INSERT INTO doc VALUES (1, 'one')");
    let given = "ß".repeat(31);
    cluster.execute(&format!(
        "SELECT ai.create_vectorizer('doc', destination => ai.destination_table('{given}z'), loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))"
    ));
    cluster.wait_for("embedded", &format!("SELECT count(*) FROM \"{given}z\""), "1");
}

/// A null of JSON is a value like any other, and none of SQL.
#[test]
fn a_null_of_json_is_a_key() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE DOMAIN name AS jsonb; CREATE TABLE doc (id int, key jsonb, other name, body text, PRIMARY KEY (id, key, other))");
    cluster.execute(
        "SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    cluster.execute(
        "INSERT INTO doc VALUES (1, 'null', 'null', 'one'), (2, '\"null\"', '{\"a\": null}', 'two'), (3, '[null]', '0', 'three')",
    );
    let embedded = "SELECT string_agg(chunk, ' ' ORDER BY id) FROM doc_embedding_store";
    cluster.wait_for("embedded", embedded, "one two three");
    cluster.wait_until_settled();
    cluster.execute("DELETE FROM doc_embedding_store");
    assert_eq!(
        cluster.value("SELECT count(*) FROM ai.verify_vectorizer('doc', true) WHERE problem = 'missing'"),
        "3"
    );
    cluster.wait_for("repaired", embedded, "one two three");
    cluster.wait_until_settled();
    assert_eq!(cluster.rows("SELECT * FROM ai.verify_vectorizer('doc')"), [[""; 0]; 0]);
    // One that is given up is tried again by its key.
    cluster.execute("ALTER TABLE doc_embedding_store ADD CHECK (chunk <> 'bad'); UPDATE doc SET body = 'bad'");
    cluster.wait_for("given up", "SELECT count(*) FROM ai.vectorizer_failed", "3");
    cluster.execute("ALTER TABLE doc_embedding_store DROP CONSTRAINT doc_embedding_store_chunk_check");
    let tried = "SELECT sum(ai.retry_vectorizer('doc', primary_key)) FROM ai.vectorizer_failed";
    assert_eq!(cluster.value(tried), "3");
    cluster.wait_for("embedded after all", embedded, "bad bad bad");
    cluster.execute("DELETE FROM doc WHERE key = 'null'");
    cluster.wait_for("removed", "SELECT count(*) FROM doc_embedding_store", "2");
    cluster.wait_until_settled();
    assert_eq!(cluster.value("SELECT count(*) FROM ai.vectorizer_errors"), "0");
}

/// Postgres takes numbers, and a depth of JSON, that Rust has no value for: they are in keys, and in nobody's way.
#[test]
fn a_key_that_rust_has_no_number_for_is_a_key() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE TABLE doc (id int, price numeric, key jsonb, body text, PRIMARY KEY (price, key))");
    cluster.execute(
        "SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    cluster.execute(
        r#"INSERT INTO doc VALUES (1, 1e400, '1', 'one'), (2, 1, '{"a": -1e400}', 'two'),
             (3, 1, (repeat('[', 500) || repeat(']', 500))::jsonb, 'three'),
             (4, 12345678901234567890.1, '1', 'four'), (5, 12345678901234567890.2, '1', 'five')"#,
    );
    let embedded = "SELECT string_agg(d.body, ' ' ORDER BY d.id) FROM doc d JOIN doc_embedding_store e USING (price, key) WHERE e.chunk = d.body";
    cluster.wait_for("embedded", embedded, "one two three four five");
    cluster.wait_until_settled();
    cluster.execute("ALTER TABLE doc_embedding_store ADD CHECK (chunk <> 'bad'); UPDATE doc SET body = 'bad'");
    cluster.wait_for("given up", "SELECT count(*) FROM ai.vectorizer_failed", "5");
    // Each has a row of its own, with its key as it is.
    let noted = "SELECT count(*) FROM ai.vectorizer_errors e
                 JOIN doc d ON e.primary_key = jsonb_build_object('price', d.price, 'key', d.key)
                 WHERE e.details -> 'primary_key' = e.primary_key";
    assert_eq!(cluster.value(noted), "5");
    cluster.execute("DELETE FROM doc WHERE id = 1; DELETE FROM doc WHERE id > 3");
    assert_eq!(cluster.value(noted), "2");
    cluster.wait_until_settled();
    cluster.execute("ALTER TABLE doc_embedding_store DROP CONSTRAINT doc_embedding_store_chunk_check");
    let tried = "SELECT sum(ai.retry_vectorizer('doc', primary_key)) FROM ai.vectorizer_failed";
    assert_eq!(cluster.value(tried), "2");
    cluster.wait_for("embedded after all", embedded, "bad bad");
    cluster.wait_until_settled();
    assert_eq!(cluster.value("SELECT count(*) FROM ai.vectorizer_errors"), "0");
    assert_eq!(cluster.rows("SELECT * FROM ai.verify_vectorizer('doc')"), [[""; 0]; 0]);
}

/// A configuration that Rust cannot hold is refused with a reason.
#[test]
fn a_configuration_that_rust_cannot_hold_is_refused() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE TABLE doc (id int PRIMARY KEY, body text)");
    let deep = "(repeat('[', 200) || repeat(']', 200))::jsonb";
    let embedding = "ai.embedding_openai('text-embedding-3-small', 8)";
    let number = r#"'{"x": 1e400}'::jsonb"#;
    for call in [
        format!(
            "ai.create_vectorizer('doc', loading => ai.loading_column('body') || {number}, embedding => {embedding})"
        ),
        format!(
            "ai.create_vectorizer('doc', loading => ai.loading_column('body'), embedding => {embedding} || {deep})"
        ),
        format!("ai.set_scheduling(1, {number})"),
        format!("ai.openai_embed('m', 'text', api_key => 'k', client_config => {number})"),
    ] {
        let error = cluster
            .connect()
            .unwrap()
            .batch_execute(&format!("SELECT {call}"))
            .unwrap_err();
        let error = error.as_db_error().expect("of the database");
        assert_eq!(error.code().code(), "22023", "{call}: {error}");
        assert_eq!(error.message(), "jsonb cannot be read", "{call}: {error}");
        assert!(error.detail().is_some(), "{call}: {error}");
        assert!(
            error.hint().is_some_and(|hint| hint.contains("1e308")),
            "{call}: {error}"
        );
    }
}
