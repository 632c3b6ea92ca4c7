//! You pay for what changed: an object that has not changed is not downloaded, a text that has not changed is not cut
//! again, a chunk that has not changed is not embedded again. And what has changed is seen, whatever is remembered.

mod support;

use ai_pipeline::plan;
use provider::Behaviour;
use support::{DEADLINE, Request, Scene, Stop, documents, wait_until};

/// A table whose rows can be touched, pointed elsewhere and given other titles.
const TABLE: &str = "CREATE TABLE doc (id int PRIMARY KEY, uri text, title text DEFAULT 'Tea', touched int DEFAULT 0)";
const CREATE: &str = "SELECT ai.create_vectorizer('doc', loading => ai.loading_uri('uri'),
    embedding => ai.embedding_openai('text-embedding-3-small', 8),
    formatting => ai.formatting_python_template('$title: $chunk'))";
const TOUCH: &str = "UPDATE doc SET touched = touched + 1";
const MEMORY: &str =
    "SELECT primary_key::text || tag || encode(content, 'hex') || encode(recipe, 'hex') || chunks || xmin
    FROM ai._vectorizer_document ORDER BY primary_key";
const STORED: &str = "SELECT id || ' ' || embedding_uuid || ' ' || chunk || ' ' || xmin FROM doc_embedding_store
    ORDER BY id, chunk_seq";

/// One row per object, embedded.
fn start(objects: &[(&str, &str)]) -> Scene {
    let scene = Scene::start();
    scene.cluster.execute(TABLE);
    scene.cluster.execute(CREATE);
    for (id, (key, text)) in objects.iter().enumerate() {
        let uri = scene.s3.put(key, *text);
        let sql = format!("INSERT INTO doc (id, uri) VALUES ({}, '{uri}')", id + 1);
        scene.cluster.execute(&sql);
    }
    scene.cluster.wait_until_settled();
    scene
}

/// The requests for an object.
fn gets(scene: &Scene, key: &str) -> Vec<Request> {
    let asks = |request: &Request| request.method == "GET" && request.target.contains(&format!("/{key}?"));
    scene.s3.requests().into_iter().filter(asks).collect()
}

fn status(request: &Request) -> &str {
    request.answer.split(' ').nth(1).unwrap_or_default()
}

/// How the last requests for an object were answered.
fn answers(scene: &Scene, key: &str) -> Vec<String> {
    gets(scene, key)
        .iter()
        .map(|request| status(request).to_owned())
        .collect()
}

fn inputs(scene: &Scene) -> u64 {
    scene.provider.counts().inputs
}

fn remembered(scene: &Scene) -> String {
    scene.cluster.value("SELECT count(*) FROM ai._vectorizer_document")
}

fn settle(scene: &Scene, sql: &str) {
    scene.cluster.execute(sql);
    scene.cluster.wait_until_settled();
}

#[test]
fn a_touch_of_all_rows_costs_requests_and_nothing_else() {
    let keys: Vec<String> = (0..30).map(|number| format!("{number}.md")).collect();
    let objects: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), key.as_str())).collect();
    let scene = start(&objects);
    let (stored, memory) = (scene.cluster.column(STORED), scene.cluster.column(MEMORY));
    assert_eq!((stored.len(), memory.len(), inputs(&scene)), (30, 30, 30));
    settle(&scene, TOUCH);
    for key in &keys {
        let gets = gets(&scene, key);
        assert_eq!(gets.iter().map(status).collect::<Vec<_>>(), ["200", "304"], "{key}");
        let (_, body) = gets[1].answer.split_once("\r\n\r\n").expect("an answer has a head");
        assert_eq!(body, "", "{key}");
    }
    assert_eq!(inputs(&scene), 30);
    assert_eq!(scene.cluster.column(STORED), stored, "not a row is written");
    assert_eq!(scene.cluster.column(MEMORY), memory);
}

/// The parser of this server cannot be started: whoever asks it fails.
#[test]
fn the_same_bytes_stored_again_are_not_parsed() {
    let scene = Scene::start();
    let pdf = documents::parser_test("reportlab.pdf");
    let uri = scene.s3.put("a.pdf", pdf.clone());
    scene.cluster.execute(TABLE);
    scene.cluster.execute(CREATE);
    settle(&scene, &format!("INSERT INTO doc (id, uri) VALUES (1, '{uri}')"));
    let (stored, before) = (scene.cluster.column(STORED), inputs(&scene));
    assert!(!stored.is_empty());
    scene
        .cluster
        .execute("ALTER SYSTEM SET ai.parser_path = '/nonexistent'");
    scene.cluster.reload();
    // As of a server that names no tags, so that the object comes whole.
    scene.cluster.execute("UPDATE ai._vectorizer_document SET tag = NULL");
    scene.s3.put("a.pdf", pdf);
    settle(&scene, TOUCH);
    assert_eq!(answers(&scene, "a.pdf"), ["200", "200"]);
    assert_eq!(scene.errors(), []);
    assert_eq!((scene.cluster.column(STORED), inputs(&scene)), (stored, before));
    // The tag is remembered from now on.
    settle(&scene, TOUCH);
    assert_eq!(answers(&scene, "a.pdf"), ["200", "200", "304"]);
    // And the parser is what it is: with other bytes it is asked.
    scene.s3.put("a.pdf", documents::parser_test("typst.pdf"));
    scene.cluster.execute(TOUCH);
    let reasons = || scene.errors().into_iter().map(|row| row.reason).collect::<String>();
    wait_until("the parser is missed", DEADLINE, reasons, |reasons| {
        reasons.contains("cannot run /nonexistent")
    });
}

#[test]
fn an_edited_paragraph_costs_the_chunks_it_touches() {
    let mut paragraphs = documents::paragraphs(40);
    let old = paragraphs.join("\n\n");
    let scene = start(&[("long.md", &old)]);
    let texts = |text: &str| -> Vec<String> {
        let chunks = documents::chunks(text);
        chunks.iter().map(|chunk| format!("Tea: {chunk}")).collect()
    };
    let before = texts(&old);
    assert_eq!(inputs(&scene), before.len() as u64);
    paragraphs[17].push_str(" And one word more.");
    let new = paragraphs.join("\n\n");
    let minimum = plan::compare(&before, texts(&new)).embed.len();
    assert!((1..5).contains(&minimum), "{minimum}");
    scene.s3.put("long.md", new.as_str());
    settle(&scene, TOUCH);
    assert_eq!(inputs(&scene), (before.len() + minimum) as u64);
    let stored = "SELECT chunk FROM doc_embedding_store ORDER BY chunk_seq";
    assert_eq!(scene.cluster.column(stored), texts(&new));
    settle(&scene, TOUCH);
    assert_eq!(answers(&scene, "long.md"), ["200", "200", "304"]);
}

/// For each of these the object has not changed, and S3 would say so.
#[test]
fn a_memory_hides_nothing_that_chunks_depend_on() {
    let scene = start(&[("a.md", "one\n\ntwo"), ("b.md", "one\n\ntwo")]);
    let chunks = "SELECT string_agg(chunk, '|' ORDER BY chunk_seq) FROM doc_embedding_store WHERE id = 1";
    let rows = "SELECT count(*) FROM doc_embedding_store WHERE id = 1";
    let cluster = &scene.cluster;
    let touch = format!("{TOUCH} WHERE id = 1");
    assert_eq!(cluster.value(chunks), "Tea: one\n\ntwo");

    // A column that the template names.
    settle(&scene, "UPDATE doc SET title = 'Coffee' WHERE id = 1");
    assert_eq!(cluster.value(chunks), "Coffee: one\n\ntwo");
    assert_eq!(answers(&scene, "a.md"), ["200", "200"]);

    // Another object with the same tag.
    let b = scene.s3.uri("b.md");
    settle(&scene, &format!("UPDATE doc SET uri = '{b}' WHERE id = 1"));
    assert_eq!(answers(&scene, "b.md"), ["200", "200"]);
    let (asked, paid) = (answers(&scene, "b.md").len(), inputs(&scene));

    // The row goes and comes.
    cluster.execute("UPDATE ai._vectorizer SET disabled = true");
    cluster.execute("DELETE FROM doc WHERE id = 1");
    assert_eq!(remembered(&scene), "1");
    cluster.execute(&format!("INSERT INTO doc (id, uri) VALUES (1, '{b}')"));
    settle(&scene, "UPDATE ai._vectorizer SET disabled = false");
    assert_eq!(cluster.value(rows), "1");
    assert_eq!((answers(&scene, "b.md").len(), inputs(&scene)), (asked + 1, paid + 1));

    // Somebody takes a chunk away.
    cluster.execute("DELETE FROM doc_embedding_store WHERE id = 1");
    settle(&scene, &touch);
    assert_eq!(cluster.value(chunks), "Tea: one\n\ntwo");
    assert_eq!((answers(&scene, "b.md").len(), inputs(&scene)), (asked + 2, paid + 2));

    // The configuration changes.
    let smaller = "UPDATE ai._vectorizer SET config = jsonb_set(jsonb_set(config, '{chunking,chunk_size}', '4'),
        '{chunking,chunk_overlap}', '0')";
    cluster.execute(smaller);
    settle(&scene, &touch);
    assert_eq!(cluster.value(chunks), "Tea: one|Tea: two");
    let last = answers(&scene, "b.md");
    assert_eq!((last.len(), last.last().map(String::as_str)), (asked + 3, Some("200")));

    // Nothing of this is left over.
    settle(&scene, &touch);
    assert_eq!(answers(&scene, "b.md").last().map(String::as_str), Some("304"));
    // Somebody has it looked at anew, as a repair does.
    cluster.execute(&format!("{touch}; SELECT ai._forget_documents(1, NULL)"));
    scene.cluster.wait_until_settled();
    assert_eq!(answers(&scene, "b.md").last().map(String::as_str), Some("200"));
}

#[test]
fn a_failure_leaves_no_memory_that_hides_it() {
    let mut scene = start(&[("a.md", "one")]);
    let chunk = "SELECT string_agg(chunk, '|') FROM doc_embedding_store";
    let memory = scene.cluster.column(MEMORY);

    // The destination refuses the new text, in the transaction that would remember it.
    scene
        .cluster
        .execute("ALTER TABLE doc_embedding_store ADD CHECK (chunk NOT LIKE '%two')");
    scene.s3.put("a.md", "two");
    settle(&scene, TOUCH);
    assert_eq!(
        scene.cluster.value("SELECT count(*) FROM ai._vectorizer_q_failed_1"),
        "1"
    );
    assert_eq!(
        (scene.cluster.value(chunk), scene.cluster.column(MEMORY)),
        ("Tea: one".to_owned(), memory)
    );
    scene
        .cluster
        .execute("ALTER TABLE doc_embedding_store DROP CONSTRAINT doc_embedding_store_chunk_check");
    settle(&scene, TOUCH);
    assert_eq!(scene.cluster.value(chunk), "Tea: two");
    assert_eq!(
        scene.cluster.value("SELECT count(*) FROM ai._vectorizer_q_failed_1"),
        "0"
    );

    // The worker dies with the vectors on their way, and then the server.
    for (text, death) in [("three", None), ("four", Some(Stop::Immediate))] {
        scene.provider.behave(Behaviour::Hang);
        scene.s3.put("a.md", text);
        scene.cluster.execute(TOUCH);
        let asked = || scene.provider.counts().in_flight;
        wait_until("the provider is asked", DEADLINE, asked, |asked| *asked > 0);
        match death {
            None => scene.cluster.kill_worker(),
            Some(how) => {
                scene.cluster.stop(how);
                scene.cluster.start_again();
            }
        }
        scene.provider.behave(Behaviour::Well);
        let embedded = format!("Tea: {text}");
        scene.cluster.wait_for("the new text arrives", chunk, &embedded);
        scene.cluster.wait_until_settled();
    }

    // An object that fails, and comes back as it was: that is told without a download, and heals the row.
    let asked = answers(&scene, "a.md").len();
    let uri = scene.s3.uri("a.md");
    settle(&scene, "UPDATE doc SET uri = uri || '.none'");
    assert_eq!(
        scene.cluster.value("SELECT count(*) FROM ai._vectorizer_q_failed_1"),
        "1"
    );
    settle(&scene, &format!("UPDATE doc SET uri = '{uri}'"));
    assert_eq!(answers(&scene, "a.md")[asked..], ["304"]);
    assert_eq!(
        scene.cluster.value("SELECT count(*) FROM ai._vectorizer_q_failed_1"),
        "0"
    );
    assert_eq!(scene.errors(), []);
}

#[test]
fn what_is_gone_is_forgotten() {
    let scene = start(&[("a.md", "one"), ("b.md", "two"), ("c.md", "three"), ("d.md", "four")]);
    let cluster = &scene.cluster;
    let keys =
        "SELECT string_agg(primary_key ->> 'id', ' ' ORDER BY primary_key ->> 'id') FROM ai._vectorizer_document";
    assert_eq!(cluster.value(keys), "1 2 3 4");
    cluster.execute("DELETE FROM doc WHERE id = 1");
    assert_eq!(cluster.value(keys), "2 3 4");
    settle(&scene, "UPDATE doc SET id = 7 WHERE id = 2");
    assert_eq!(cluster.value(keys), "3 4 7");
    cluster.execute("BEGIN; DELETE FROM doc; ROLLBACK");
    assert_eq!(cluster.value(keys), "3 4 7");
    cluster.execute("TRUNCATE doc");
    assert_eq!(remembered(&scene), "0");
    let uri = scene.s3.uri("a.md");
    settle(&scene, &format!("INSERT INTO doc (id, uri) VALUES (1, '{uri}')"));
    assert_eq!(remembered(&scene), "1");
    cluster.execute("SELECT ai.drop_vectorizer(1)");
    assert_eq!(remembered(&scene), "0");

    cluster.execute(
        "CREATE TABLE part (id int PRIMARY KEY, uri text) PARTITION BY LIST (id);
         CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1, 5); CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
         CREATE TABLE part_3 PARTITION OF part FOR VALUES IN (3); CREATE TABLE part_4 PARTITION OF part FOR VALUES IN (4)",
    );
    cluster.execute(&CREATE.replace("'doc'", "'part'").replace("$title: ", ""));
    settle(
        &scene,
        &format!("INSERT INTO part SELECT id, '{uri}' FROM generate_series(1, 5) AS id"),
    );
    assert_eq!(cluster.value(keys), "1 2 3 4 5");
    cluster.execute("DELETE FROM part WHERE id = 5");
    assert_eq!(cluster.value(keys), "1 2 3 4");
    cluster.execute("DROP TABLE part_2");
    assert_eq!(cluster.value(keys), "1 3 4");
    cluster.execute("ALTER TABLE part DETACH PARTITION part_3");
    assert_eq!(cluster.value(keys), "1 4");
    cluster.execute("TRUNCATE part_4");
    assert_eq!(cluster.value(keys), "1");
    // A key that moves to another document takes no memory along.
    settle(&scene, "UPDATE part SET id = 5 WHERE id = 1");
    assert_eq!(cluster.value(keys), "5");
    cluster.execute("DROP TABLE part CASCADE");
    assert_eq!(remembered(&scene), "0");
}

/// Long numbers are told apart, and a user cannot read what is remembered, nor have others' forgotten.
#[test]
fn a_memory_belongs_to_one_document_and_one_owner() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE TABLE doc (id numeric PRIMARY KEY, uri text, touched int DEFAULT 0)");
    cluster.execute(&CREATE.replace("$title: ", ""));
    let (a, b) = (scene.s3.put("a.md", "one"), scene.s3.put("b.md", "two"));
    let long = "12345678901234567890123456789";
    settle(
        &scene,
        &format!("INSERT INTO doc VALUES ({long}0, '{a}'), ({long}1, '{b}')"),
    );
    let keys = "SELECT string_agg(primary_key ->> 'id', ' ' ORDER BY primary_key) FROM ai._vectorizer_document";
    assert_eq!(cluster.value(keys), format!("{long}0 {long}1"));
    settle(&scene, TOUCH);
    assert_eq!(
        [answers(&scene, "a.md"), answers(&scene, "b.md")],
        [["200", "304"], ["200", "304"]]
    );
    settle(&scene, &format!("UPDATE doc SET uri = '{b}' WHERE id = {long}0"));
    let chunks = "SELECT string_agg(chunk, ' ' ORDER BY id) FROM doc_embedding_store";
    assert_eq!(cluster.value(chunks), "two two");
    cluster.execute("CREATE ROLE ann");
    cluster.execute("SET ROLE ann; SELECT ai._forget_documents(1, NULL); RESET ROLE");
    assert_eq!(remembered(&scene), "2");
    let (code, _) = scene
        .cluster
        .refusal("SET ROLE ann; SELECT * FROM ai._vectorizer_document");
    assert_eq!(code, "42501");
}

/// Texts of 64 kB and more.
#[test]
fn a_long_text_in_a_column_is_not_cut_again() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    let text = |word: &str, length: usize| format!("repeat('{word} ', {length})");
    let store = |chunking: &str, name: &str| {
        format!(
            "SELECT ai.create_vectorizer('{name}', loading => ai.loading_column('body'), chunking => {chunking},
             embedding => ai.embedding_openai('text-embedding-3-small', 8))"
        )
    };
    cluster.execute("CREATE TABLE doc (id int PRIMARY KEY, body text, touched int DEFAULT 0)");
    cluster.execute(&store("ai.chunking_none()", "doc"));
    let (long, short) = (text("long", 14_000), text("short", 10));
    settle(&scene, &format!("INSERT INTO doc VALUES (1, {long}), (2, {short})"));
    let keys = "SELECT string_agg(primary_key ->> 'id', ' ') FROM ai._vectorizer_document";
    assert_eq!((cluster.value(keys), inputs(&scene)), ("1".to_owned(), 2));
    let (stored, memory) = (cluster.column(STORED), cluster.column(MEMORY));
    settle(&scene, TOUCH);
    assert_eq!((cluster.column(STORED), cluster.column(MEMORY)), (stored, memory));
    assert_eq!(inputs(&scene), 2);
    // What is cut is compared with what is stored.
    cluster.execute("UPDATE doc_embedding_store SET chunk = 'none'");
    settle(&scene, TOUCH);
    let tampered = "SELECT id FROM doc_embedding_store WHERE chunk = 'none'";
    assert_eq!((cluster.column(tampered), inputs(&scene)), (vec!["1".to_owned()], 3));
    // One chunk each time, and the memory of the first must not outlive the second.
    settle(&scene, &format!("UPDATE doc SET body = {short} WHERE id = 1"));
    assert_eq!(remembered(&scene), "0");
    settle(&scene, &format!("UPDATE doc SET body = {long} WHERE id = 1"));
    let length = "SELECT length(chunk) > 65536 FROM doc_embedding_store WHERE id = 1";
    assert_eq!(cluster.value(length), "t");
    assert_eq!(inputs(&scene), 5);
}

/// A vector in a column of its row has no text beside it to compare with.
#[test]
fn a_row_with_its_vector_is_embedded_once() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE TABLE doc (id int PRIMARY KEY, body text, touched int DEFAULT 0)");
    cluster.execute(
        "SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
             embedding => ai.embedding_openai('text-embedding-3-small', 8),
             destination => ai.destination_column('vector'))",
    );
    settle(&scene, "INSERT INTO doc VALUES (1, 'one'), (2, ''), (3, NULL)");
    assert_eq!(inputs(&scene), 1);
    settle(&scene, TOUCH);
    assert_eq!(inputs(&scene), 1);
    settle(&scene, "UPDATE doc SET body = 'two' WHERE id = 1");
    assert_eq!(inputs(&scene), 2);
    settle(&scene, "UPDATE doc SET body = '' WHERE id = 1");
    assert_eq!(cluster.value("SELECT count(vector) FROM doc"), "0");
    settle(&scene, "UPDATE doc SET body = 'two' WHERE id = 1");
    assert_eq!(inputs(&scene), 3);
    cluster.execute("UPDATE doc SET vector = NULL");
    settle(&scene, TOUCH);
    assert_eq!(
        (cluster.value("SELECT count(vector) FROM doc"), inputs(&scene)),
        ("1".to_owned(), 4)
    );
}

/// Keys that are equal and not the same: what is remembered of one text of a key is no news of another.
#[test]
fn an_equal_key_of_another_text_hides_nothing() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE EXTENSION citext");
    for (number, (of, one, other)) in [
        ("citext", "A", "a"),
        ("numeric", "1.0", "1.00"),
        ("interval", "1 day", "24:00"),
        ("jsonb", "1.0", "1.00"),
    ]
    .into_iter()
    .enumerate()
    {
        let table = format!("doc{number}");
        cluster.execute(&format!("CREATE TABLE {table} (id {of} PRIMARY KEY, body text)"));
        cluster.execute(&format!(
            "SELECT ai.create_vectorizer('{table}', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8),
                 destination => ai.destination_column('vector'))"
        ));
        let vector = format!("SELECT vector::text FROM {table}");
        settle(
            &scene,
            &format!("INSERT INTO {table} VALUES ('{one}', 'the first text')"),
        );
        let first = cluster.value(&vector);
        settle(
            &scene,
            &format!("UPDATE {table} SET id = '{other}', body = 'the second text'"),
        );
        assert_ne!(cluster.value(&vector), first, "{of}");
        settle(
            &scene,
            &format!("UPDATE {table} SET id = '{one}', body = 'the first text'"),
        );
        assert_eq!(cluster.value(&vector), first, "{of}");
    }
    assert_eq!(remembered(&scene), "4");
}

/// What was tampered with has the right number of chunks: a memory does not tell, a repair must not ask it.
#[test]
fn a_repair_asks_no_memory() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("SET timezone = 'Asia/Tokyo'");
    cluster.execute("CREATE TABLE doc (id timestamptz PRIMARY KEY, uri text, touched int DEFAULT 0)");
    cluster.execute(&CREATE.replace("$title: ", ""));
    let uri = scene.s3.put("a.md", "one");
    settle(
        &scene,
        &format!("INSERT INTO doc VALUES ('2026-01-02 03:04:05Z', '{uri}')"),
    );
    cluster.execute("UPDATE doc_embedding_store SET chunk = 'none'");
    let wrong = "SELECT problem FROM ai.verify_vectorizer(1, repair => true)";
    assert_eq!(cluster.column(wrong), ["text"]);
    cluster.wait_until_settled();
    assert_eq!(cluster.column(wrong), [""; 0]);
    assert_eq!(cluster.value("SELECT chunk FROM doc_embedding_store"), "one");
}

/// The parser of this server cannot be started once the document is embedded.
#[test]
fn bytes_in_a_column_are_not_parsed_again() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE TABLE doc (id int PRIMARY KEY, body bytea, touched int DEFAULT 0)");
    cluster.execute(
        "SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    let hex: String = documents::parser_test("reportlab.pdf")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    settle(&scene, &format!("INSERT INTO doc VALUES (1, '\\x{hex}')"));
    let (stored, before) = (cluster.column(STORED), inputs(&scene));
    assert!(!stored.is_empty());
    cluster.execute("ALTER SYSTEM SET ai.parser_path = '/nonexistent'");
    cluster.reload();
    settle(&scene, TOUCH);
    assert_eq!(scene.errors(), []);
    assert_eq!((cluster.column(STORED), inputs(&scene)), (stored, before));
}
