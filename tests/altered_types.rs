//! Columns of a destination, and keys, to which their owner has given other types. What the worker writes to,
//! `ai.verify_vectorizer` reads; what cannot be written to is named.

mod support;

#[path = "support/notes.rs"]
mod notes;

use notes::NONE;
use support::{DEADLINE, Database, Scene, wait_until};

/// What is found wrong, as `key:problem:detail`.
fn verified(database: &Database, name: &str) -> Vec<String> {
    database.column(&format!(
        "SELECT concat_ws(':', primary_key, problem, detail) FROM ai.verify_vectorizer('{name}') ORDER BY 1"
    ))
}

/// Waits until the chunks are these, and nothing is wrong with them.
#[track_caller]
fn assert_embedded(scene: &Scene, name: &str, alteration: &str, expected: &str) {
    let sql = format!("SELECT string_agg(btrim(chunk::text), ' ' ORDER BY id::text, chunk_seq) FROM {name}_store");
    let seen = wait_until(
        alteration,
        DEADLINE,
        || {
            let failed = "SELECT string_agg(details ->> 'error_reason', ', ') FROM ai.vectorizer_errors";
            (scene.cluster.value(&sql), scene.cluster.value(failed))
        },
        |(chunks, errors)| chunks == expected || errors != "NULL",
    );
    assert_eq!(seen.0, expected, "{alteration}: {}", seen.1);
    scene.cluster.wait_until_settled();
    assert_eq!(verified(&scene.cluster, name), NONE, "{alteration}");
}

#[test]
fn a_destination_of_other_types_is_written_and_verified() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute(
        "CREATE EXTENSION citext;
         CREATE DOMAIN prose AS text; CREATE DOMAIN essay AS prose; CREATE DOMAIN place AS bigint; CREATE DOMAIN name_of AS uuid",
    );
    let alterations = [
        "chunk TYPE varchar(20)",
        "chunk TYPE varchar",
        "chunk TYPE char(20)",
        "chunk TYPE citext",
        "chunk TYPE prose",
        "chunk TYPE essay",
        "chunk_seq TYPE smallint",
        "chunk_seq TYPE bigint",
        "chunk_seq TYPE numeric",
        "chunk_seq TYPE place",
        "embedding_uuid TYPE name_of",
        "embedding TYPE halfvec(8) USING embedding::halfvec(8)",
        "embedding TYPE vector USING embedding::vector",
        "embedding TYPE real[] USING embedding::real[]",
        "id TYPE bigint",
        "id TYPE smallint",
    ];
    for (number, alteration) in alterations.iter().enumerate() {
        let name = format!("v{number}");
        cluster.execute(&format!(
            "CREATE TABLE doc{number} (id int PRIMARY KEY, body text); INSERT INTO doc{number} VALUES (1, 'one. two'), (2, 'three');
             SELECT ai.create_vectorizer('doc{number}', name => '{name}', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_table('{name}'),
                 chunking => ai.chunking_character_text_splitter(5, 0, '. '))"
        ));
        assert_embedded(&scene, &name, alteration, "one two three");
        cluster.execute(&format!(
            "DROP VIEW {name}; ALTER TABLE {name}_store ALTER {alteration}"
        ));
        assert_eq!(verified(cluster, &name), NONE, "{alteration}");
        cluster.execute(&format!(
            "UPDATE doc{number} SET body = 'new. one. two' WHERE id = 1; INSERT INTO doc{number} VALUES (3, 'four')"
        ));
        assert_embedded(&scene, &name, alteration, "new one two three four");
        cluster.execute(&format!(
            "UPDATE doc{number} SET body = 'two' WHERE id = 1; DELETE FROM doc{number} WHERE id = 2"
        ));
        assert_embedded(&scene, &name, alteration, "two four");
        cluster.execute(&format!("DELETE FROM {name}_store WHERE id = 3"));
        assert_eq!(verified(cluster, &name).len(), 1, "{alteration}");
        cluster.execute(&format!("SELECT ai.drop_vectorizer('{name}', drop_all => true)"));
    }
}

/// Types of keys that are compared by way of another.
#[test]
fn keys_of_other_types_are_verified() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE EXTENSION citext; CREATE DOMAIN label AS varchar(20)");
    let cases = [
        ("varchar(20)", "text"),
        ("text", "varchar"),
        ("text", "label"),
        ("label", "text"),
        ("citext", "citext"),
        ("bigint", "int"),
        ("smallint", "bigint"),
    ];
    for (number, (kind, other)) in cases.iter().enumerate() {
        let (name, what) = (format!("v{number}"), format!("{kind}, {other}"));
        cluster.execute(&format!(
            "CREATE TABLE doc{number} (id {kind} PRIMARY KEY, body text); INSERT INTO doc{number} VALUES ('1', 'one');
             SELECT ai.create_vectorizer('doc{number}', name => '{name}', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_table('{name}'))"
        ));
        assert_embedded(&scene, &name, &what, "one");
        cluster.execute(&format!(
            "DROP VIEW {name}; ALTER TABLE {name}_store ALTER id TYPE {other}"
        ));
        cluster.execute(&format!(
            "INSERT INTO doc{number} VALUES ('2', 'two'); UPDATE doc{number} SET body = 'first' WHERE id = '1'"
        ));
        assert_embedded(&scene, &name, &what, "first two");
        cluster.execute(&format!("DELETE FROM doc{number} WHERE id = '1'"));
        assert_embedded(&scene, &name, &what, "two");
        cluster.execute(&format!("SELECT ai.drop_vectorizer('{name}', drop_all => true)"));
    }
}

#[test]
fn a_column_of_vectors_of_another_type_is_verified() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute(
        "CREATE TABLE doc (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
             embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_column('vector'))",
    );
    for kind in ["halfvec(8)", "real[]", "vector(8)"] {
        cluster.execute(&format!(
            "ALTER TABLE doc ALTER vector TYPE {kind} USING NULL; DELETE FROM doc; INSERT INTO doc VALUES (1, 'one')"
        ));
        cluster.wait_for(kind, "SELECT count(*) FROM doc WHERE vector IS NOT NULL", "1");
        cluster.wait_until_settled();
        assert_eq!(verified(cluster, "doc"), NONE, "{kind}");
        cluster.execute("UPDATE doc SET body = 'two'");
        cluster.wait_until_settled();
        assert_eq!(verified(cluster, "doc"), NONE, "{kind}");
        assert_eq!(notes::errors(cluster), NONE, "{kind}");
    }
}

/// What cannot be written to, or compared, is named, by the worker and by a look at it.
#[test]
fn a_table_that_was_altered_beyond_use_is_named() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    let alterations = [
        ("ALTER chunk_seq TYPE text", "the column chunk_seq is of type text"),
        (
            "ALTER embedding_uuid TYPE text",
            "the column embedding_uuid is of type text",
        ),
        (
            "ALTER chunk TYPE bytea USING chunk::bytea",
            "the column chunk is of type bytea",
        ),
        ("ALTER id TYPE text", "the column id is of type text"),
        ("RENAME chunk TO piece", "has no column chunk any more"),
    ];
    for (number, (alteration, expected)) in alterations.iter().enumerate() {
        let name = format!("v{number}");
        cluster.execute(&format!(
            "CREATE TABLE doc{number} (id int PRIMARY KEY, body text); INSERT INTO doc{number} VALUES (1, 'one');
             SELECT ai.create_vectorizer('doc{number}', name => '{name}', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_table('{name}'))"
        ));
        assert_embedded(&scene, &name, alteration, "one");
        cluster.execute(&format!("DROP VIEW {name}; ALTER TABLE {name}_store {alteration}"));
        let (code, said) = cluster.refusal(&format!("SELECT * FROM ai.verify_vectorizer('{name}')"));
        assert_eq!(code, "55000", "{alteration}: {said}");
        assert!(said.contains(expected), "{alteration}: {said}");
        cluster.execute(&format!("INSERT INTO doc{number} VALUES (2, 'two')"));
        let reason =
            format!("SELECT reason FROM ai.worker_status WHERE process = 'vectorizer' AND vectorizer = '{name}'");
        wait_until(
            alteration,
            DEADLINE,
            || cluster.value(&reason),
            |reason| reason.contains(expected),
        );
        cluster.execute(&format!("SELECT ai.drop_vectorizer('{name}', drop_all => true)"));
    }
}

/// The keys of queue and intake are compared where they are, and cannot be where one has another type: their number
/// is unknown then, and the worker goes on.
#[test]
fn the_length_of_a_queue_whose_intake_has_another_type_is_unknown() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute(
        "CREATE TABLE doc (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_table('doc_chunks'));
         ALTER TABLE ai._vectorizer_intake_1 ALTER id TYPE bigint;
         INSERT INTO doc VALUES (1, 'one')",
    );
    cluster.wait_for("it is embedded", "SELECT count(*) FROM doc_chunks_store", "1");
    let pending = "SELECT pending_items IS NULL, ai.vectorizer_queue_pending(1) IS NULL FROM ai.vectorizer_status";
    assert_eq!(cluster.rows(pending), [["t", "t"]]);
    let reason = cluster.value("SELECT reason FROM ai.worker_status WHERE process = 'vectorizer'");
    assert_eq!(reason, "its queue is not as it was made: its owner has altered it");
    assert_eq!(verified(cluster, "doc"), NONE);
    cluster.execute("ALTER TABLE ai._vectorizer_intake_1 ALTER id TYPE int");
    cluster.wait_until_settled();
    assert_eq!(cluster.rows(pending), [["f", "f"]]);
}
