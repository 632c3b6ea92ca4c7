//! Columns that documents and their addresses are loaded from, of types that are texts or bytes by another name.

mod support;

use support::{DEADLINE, Scene, wait_until};

const COLUMNS: [&str; 8] = [
    "plain",
    "prose",
    "essay",
    "fixed",
    "title",
    "mark",
    "insensitive",
    "bytes",
];

#[test]
fn domains_and_other_names_of_text_are_read() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute(
        "CREATE EXTENSION citext;
         CREATE DOMAIN prose AS text;
         CREATE DOMAIN short AS varchar(40) CHECK (VALUE <> '');
         CREATE DOMAIN essay AS short;
         CREATE DOMAIN bytes AS bytea;
         CREATE DOMAIN scan AS bytes;
         CREATE TABLE doc (id int PRIMARY KEY, plain varchar, prose prose, essay essay, fixed char(20), title name,
                           mark \"char\", insensitive citext, bytes scan, uri prose);
         INSERT INTO doc VALUES (1, 'One', 'One', 'One', 'One', 'One', 'O', 'One', 'One', NULL)",
    );
    for column in COLUMNS {
        cluster.execute(&format!(
            "SELECT ai.create_vectorizer('doc', name => 'by_{column}', loading => ai.loading_column('{column}'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8),
                 destination => ai.destination_table('by_{column}'))"
        ));
    }
    cluster.execute(
        "SELECT ai.create_vectorizer('doc', name => 'by_uri', loading => ai.loading_uri('uri'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_table('by_uri'))",
    );
    let uri = scene.s3.put("a.txt", "Far away");
    cluster.execute(&format!("UPDATE doc SET uri = '{uri}'"));
    let stored = |column: &str| cluster.column(&format!("SELECT trim(chunk) FROM by_{column}_store"));
    let arrive = |text: &str| {
        for column in COLUMNS {
            let expected = if column == "mark" { &text[..1] } else { text };
            let look = || stored(column);
            wait_until(column, DEADLINE, look, |chunks| *chunks == [expected]);
        }
    };
    arrive("One");
    wait_until(
        "the document arrives",
        DEADLINE,
        || stored("uri"),
        |chunks| *chunks == ["Far away"],
    );
    // To citext these are equal; their embeddings are not.
    cluster.execute(
        "UPDATE doc SET (plain, prose, essay, fixed, title, mark, insensitive, bytes)
             = ('ONE', 'ONE', 'ONE', 'ONE', 'ONE', 'O', 'ONE', 'ONE')",
    );
    arrive("ONE");
    cluster.wait_until_settled();
    assert_eq!(cluster.value("SELECT count(*) FROM ai.vectorizer_errors"), "0");
    let findings = "SELECT count(*) FROM ai.vectorizer v, ai.verify_vectorizer(v.name)";
    assert_eq!(cluster.value(findings), "0");
    // Another name below the same vectorizer; views stand in the way of that.
    for column in COLUMNS.iter().chain(&["uri"]) {
        cluster.execute(&format!("DROP VIEW by_{column}"));
    }
    cluster.execute("ALTER TABLE doc ALTER bytes TYPE bytea; ALTER TABLE doc ALTER insensitive TYPE prose");
    cluster.execute("UPDATE doc SET bytes = 'two', insensitive = 'two'");
    for column in ["bytes", "insensitive"] {
        wait_until(column, DEADLINE, || stored(column), |chunks| *chunks == ["two"]);
    }
}
