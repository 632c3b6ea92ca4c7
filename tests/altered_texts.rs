//! DDL that gives the rows of a source other texts, of which no trigger by row is told.

mod support;

use support::{DEADLINE, Scene, wait_until};

/// What the documents are made of.
const TEXTS: &str = "SELECT string_agg(t || ': ' || body, ', ' ORDER BY id) FROM doc";

/// Waits until what is embedded is what the rows say now.
#[track_caller]
fn follows(scene: &Scene, what: &str) {
    let cluster = &scene.cluster;
    let state = || {
        let waits = cluster.value("SELECT ai.vectorizer_queue_pending('doc')");
        if waits != "0" {
            return (waits, String::new());
        }
        let found = "SELECT coalesce(string_agg(concat_ws(' ', primary_key, problem, detail), ', '), '') FROM ai.verify_vectorizer('doc')";
        (waits, cluster.value(found))
    };
    wait_until(what, DEADLINE, state, |(waits, found)| waits == "0" && found.is_empty());
    if cluster.value("SELECT to_regclass('doc_embedding_store') IS NOT NULL") == "t" {
        let chunks = "SELECT string_agg(chunk, ', ' ORDER BY id) FROM doc_embedding_store";
        assert_eq!(cluster.value(chunks), cluster.value(TEXTS), "{what}");
    }
}

#[test]
fn rows_that_get_other_texts_by_ddl_are_embedded_again() {
    let key = "id int PRIMARY KEY, body text, t text DEFAULT 'x'";
    let plain = format!("CREATE TABLE doc ({key})");
    let parts = format!(
        "CREATE TABLE doc ({key}) PARTITION BY RANGE (id); CREATE TABLE doc_1 PARTITION OF doc FOR VALUES FROM (0) TO (2);
         CREATE TABLE doc_2 PARTITION OF doc FOR VALUES FROM (2) TO (100)"
    );
    for (table, destination) in [
        (&plain, "destination_table('doc_embedding')"),
        (&plain, "destination_column('vector')"),
        (&parts, "destination_table('doc_embedding')"),
    ] {
        let scene = Scene::start();
        let cluster = &scene.cluster;
        cluster.execute(&format!(
            "{table};
             SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
                 formatting => ai.formatting_python_template('$t: $chunk'), destination => ai.{destination},
                 embedding => ai.embedding_openai('text-embedding-3-small', 8));
             -- It would keep its columns from being altered.
             DROP VIEW IF EXISTS doc_embedding;
             INSERT INTO doc VALUES (1, 'hello world'), (2, 'again')"
        ));
        follows(&scene, "at first");
        for ddl in [
            "ALTER TABLE doc ALTER body TYPE varchar(5) USING substr(body, 1, 4)",
            "ALTER TABLE doc ALTER t DROP DEFAULT, ALTER t TYPE int USING length(t)",
            "ALTER TABLE doc DROP COLUMN t; ALTER TABLE doc ADD COLUMN t text DEFAULT 'new'",
            "ALTER TABLE doc DROP COLUMN t, ADD COLUMN t text DEFAULT 'newer'",
            "ALTER TABLE doc DROP COLUMN body; ALTER TABLE doc ADD COLUMN body text DEFAULT 'brand new'",
            "ALTER TABLE doc DROP COLUMN body, ADD COLUMN body text GENERATED ALWAYS AS (id || ' rows') STORED",
            "BEGIN; ALTER TABLE doc RENAME t TO u; ALTER TABLE doc ALTER u TYPE text USING u || '!'; ALTER TABLE doc RENAME u TO t; COMMIT",
        ] {
            let before = cluster.value(TEXTS);
            let paid = scene.provider.counts().inputs;
            cluster.execute(ddl);
            follows(&scene, ddl);
            assert_ne!(cluster.value(TEXTS), before, "{ddl}");
            assert!(scene.provider.counts().inputs > paid, "{ddl}");
        }
        // What leaves the texts as they are costs a look at most.
        for ddl in [
            "ALTER TABLE doc ALTER t TYPE text USING t || ''",
            "ALTER TABLE doc ADD COLUMN other float DEFAULT random()",
            "ALTER TABLE doc ALTER t SET STATISTICS 7, ALTER t SET DEFAULT 'later'",
            "ALTER TABLE doc RENAME t TO u; ALTER TABLE doc ADD COLUMN v text DEFAULT 'y'",
        ] {
            let paid = scene.provider.counts().inputs;
            cluster.execute(ddl);
            cluster.wait_for(ddl, "SELECT ai.vectorizer_queue_pending('doc')", "0");
            cluster.wait_until_settled();
            assert_eq!(scene.provider.counts().inputs, paid, "{ddl}");
        }
        // A table that is written anew for another column has nothing looked at.
        cluster
            .execute("SELECT ai.disable_vectorizer_schedule('doc'); ALTER TABLE doc ALTER other TYPE text USING 'z'");
        assert_eq!(cluster.value("SELECT ai.vectorizer_queue_pending('doc')"), "0");
        // What is undone was no change.
        cluster.execute("BEGIN; SAVEPOINT a; ALTER TABLE doc ALTER u TYPE text USING 'gone'; ROLLBACK TO a; ALTER TABLE doc ADD COLUMN w int; COMMIT");
        assert_eq!(cluster.value("SELECT ai.vectorizer_queue_pending('doc')"), "0");
    }
}

/// Where the event triggers do not see it, `ai.verify_vectorizer` does, and mends it.
#[test]
fn other_texts_that_nobody_was_told_of_are_found_and_mended() {
    for destination in ["destination_table('doc_embedding')", "destination_column('vector')"] {
        let scene = Scene::start();
        let cluster = &scene.cluster;
        cluster.execute(&format!(
            "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TABLE doc (id int PRIMARY KEY, body text, t mood DEFAULT 'sad');
             SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
                 formatting => ai.formatting_python_template('$t: $chunk'), destination => ai.{destination},
                 embedding => ai.embedding_openai('text-embedding-3-small', 8));
             -- It would keep its columns from being altered.
             DROP VIEW IF EXISTS doc_embedding;
             INSERT INTO doc VALUES (1, 'hello world'), (2, 'again')"
        ));
        follows(&scene, "at first");
        for ddl in [
            "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
            "SET session_replication_role = replica; ALTER TABLE doc ALTER body TYPE text USING body || '!'; RESET session_replication_role",
        ] {
            cluster.execute(ddl);
            cluster.wait_until_settled();
            let found = "SELECT count(*) FROM ai.verify_vectorizer('doc', repair => true) WHERE problem = 'text'";
            assert_eq!(cluster.value(found), "2", "{ddl}");
            follows(&scene, ddl);
        }
    }
}
