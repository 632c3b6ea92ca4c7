//! A dump that is restored is a vectorizer that works, and nothing that was embedded is embedded again.

mod support;

use std::process::{Command, Output};

use provider::Behaviour;
use support::{Cluster, DEADLINE, Database, Scene, wait_until};

/// A database with two vectorizers of one table. Columns have been dropped and renamed since, so that numbers in the
/// catalogue are not those of a fresh table.
fn dumped(scene: &Scene) -> Database {
    scene.cluster.execute("CREATE DATABASE old");
    let old = scene.cluster.database("old");
    old.execute("CREATE EXTENSION ai CASCADE");
    old.execute(
        "CREATE SCHEMA app;
         CREATE TABLE app.doc (junk int, tenant int, no int, text text, heading text, gone int, PRIMARY KEY (no, tenant));
         ALTER TABLE app.doc DROP junk, DROP gone;
         INSERT INTO app.doc VALUES (1, 1, 'one', 'First'), (1, 2, 'two', 'Second')",
    );
    old.execute(
        "SELECT ai.create_vectorizer('app.doc', name => 'chunks', loading => ai.loading_column('text'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8),
             formatting => ai.formatting_python_template('$heading: $chunk'));
         SELECT ai.create_vectorizer('app.doc', name => 'vectors', loading => ai.loading_column('text'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4), destination => ai.destination_column('vec'),
             chunking => ai.chunking_none(), queue_schema => 'app')",
    );
    old.execute(
        "CREATE TABLE app.news (id int, day date, body text, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
         CREATE TABLE app.news_25 PARTITION OF app.news FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
         CREATE TABLE app.news_26 PARTITION OF app.news FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
         INSERT INTO app.news VALUES (1, '2025-05-05', 'five'), (2, '2026-06-06', 'six')",
    );
    old.execute(
        "SELECT ai.create_vectorizer('app.news', name => 'news', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    old.wait_until_settled();
    old.execute("ALTER TABLE app.doc RENAME no TO id");
    old.execute("ALTER TABLE app.doc RENAME text TO body");
    old.execute("ALTER TABLE app.doc RENAME heading TO title");
    old.execute("UPDATE app.doc SET body = 'zwei' WHERE id = 2");
    old.wait_until_settled();
    old
}

/// A row that cannot be embedded yet.
fn leave_one_pending(scene: &Scene, old: &Database) {
    scene.provider.behave(Behaviour::ServerError);
    old.execute("INSERT INTO app.doc (tenant, id, body, title) VALUES (1, 3, 'three', 'Third')");
    let failing = "SELECT string_agg(e.name || ' ' || e.step, ', ' ORDER BY e.name) FROM ai.vectorizer_errors e";
    old.wait_for("the provider fails", failing, "chunks embedding, vectors embedding");
}

/// What there is of embeddings, in a form that can be compared.
fn embeddings(database: &Database) -> Vec<Vec<String>> {
    let mut rows = database.rows(
        "SELECT embedding_uuid, tenant, no, chunk_seq, chunk, embedding FROM app.doc_embedding ORDER BY tenant, no, chunk_seq",
    );
    rows.extend(database.rows("SELECT tenant, id, vec FROM app.doc WHERE vec IS NOT NULL ORDER BY tenant, id"));
    rows
}

/// Runs a program of Postgres, which must succeed.
#[track_caller]
fn run(mut command: Command) -> Vec<u8> {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    output.stdout
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn program(cluster: &Cluster, name: &str, user: &str, arguments: &[&str]) -> Command {
    let mut command = cluster.client_program(name);
    command.args(["-U", user]).args(arguments);
    command
}

/// Takes the old database away, and lets the provider answer again.
fn leave_old(scene: &Scene, old: Database) {
    drop(old);
    scene.cluster.execute("DROP DATABASE old WITH (FORCE)");
    scene.provider.behave(Behaviour::Well);
    scene.provider.reset();
}

/// The restored vectorizers catch up with what was pending, and go on.
fn works(scene: &Scene, new: &Database, embedded: &[Vec<String>]) {
    new.wait_until_settled();
    wait_until(
        "the pending document is embedded",
        DEADLINE,
        || embeddings(new).len(),
        |count| *count == 6,
    );
    let now = embeddings(new);
    for row in embedded {
        assert!(now.contains(row), "{row:?} is as it was, in {now:#?}");
    }
    assert_eq!(new.value("SELECT count(*) FROM app.news_embedding"), "2");
    assert_eq!(
        scene.provider.counts().inputs,
        2,
        "one text for each of the two vectorizers"
    );

    // Rows come, change their keys, and go.
    new.execute("INSERT INTO app.doc (tenant, id, body, title) VALUES (1, 4, 'four', 'Fourth')");
    new.execute("UPDATE app.doc SET id = 20 WHERE id = 2");
    new.execute("DELETE FROM app.doc WHERE id = 1");
    wait_until(
        "the changes arrive",
        DEADLINE,
        || new.column("SELECT no || ' ' || chunk FROM app.doc_embedding ORDER BY no"),
        |chunks| chunks == &["3 Third: three", "4 Fourth: four", "20 Second: zwei"],
    );
    new.wait_for("vectors", "SELECT count(*) FROM app.doc WHERE vec IS NULL", "0");
    let errors = "SELECT coalesce(string_agg(name || ': ' || details, E'\\n'), '') FROM ai.vectorizer_errors";
    new.wait_for("no errors", errors, "");
    // Names are followed by the numbers of this table.
    new.execute("ALTER TABLE app.doc RENAME body TO words");
    new.execute("ALTER TABLE app.doc RENAME id TO number");
    let names = "SELECT config #>> '{loading,column_name}', source_pk #>> '{1,attname}' FROM ai.vectorizer WHERE id < 3 ORDER BY id";
    assert_eq!(new.rows(names), [["words", "number"]; 2]);
    new.execute("INSERT INTO app.doc (tenant, number, words, title) VALUES (1, 5, 'five', 'Fifth')");
    let fifth = "SELECT count(*) FROM app.doc_embedding WHERE chunk = 'Fifth: five'";
    new.wait_for("a row after renames", fifth, "1");

    // Partitions are followed: nothing was queued for those that were restored, and a new one is work.
    new.execute("CREATE TABLE later (id int NOT NULL, day date NOT NULL, body text); INSERT INTO later VALUES (3, '2027-07-07', 'seven')");
    new.execute("ALTER TABLE app.news ATTACH PARTITION later FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')");
    new.execute("TRUNCATE app.news_26");
    let news = "SELECT string_agg(chunk, ', ' ORDER BY day) FROM app.news_embedding";
    new.wait_for("the news", news, "five, seven");

    // A further vectorizer, under the next id; and all that is the extension's goes with it.
    let id = new.value(
        "SELECT ai.create_vectorizer('app.doc', name => 'more', loading => ai.loading_column('title'),
             destination => ai.destination_table('more'), embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    assert_eq!(id, "4");
    new.wait_for("the new one works", "SELECT count(*) FROM app.more", "4");
    new.execute("DROP EXTENSION ai");
    let left = "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_vectorizer\\_q%'";
    assert_eq!(new.value(left), "0");
    new.execute("UPDATE app.doc SET words = 'free'");
}

#[test]
fn plain_dump() {
    let scene = Scene::start();
    let old = dumped(&scene);
    let embedded = embeddings(&old);
    leave_one_pending(&scene, &old);
    let cluster = &scene.cluster;
    let script = cluster.data().join("old.sql");
    let script = script.to_str().expect("temporary folders have plain names");
    run(program(cluster, "pg_dump", "postgres", &["-d", "old", "-f", script]));
    leave_old(&scene, old);
    cluster.execute("CREATE DATABASE new");
    run(program(
        cluster,
        "psql",
        "postgres",
        &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "new", "-f", script],
    ));
    let remembered = "SELECT count(*) > 0 FROM ai._vectorizer_document";
    assert_eq!(
        cluster.database("new").value(remembered),
        "t",
        "what is remembered comes along"
    );
    works(&scene, &cluster.database("new"), &embedded);
}

#[test]
fn custom_dump_restored_by_two_jobs() {
    let scene = Scene::start();
    let old = dumped(&scene);
    let embedded = embeddings(&old);
    leave_one_pending(&scene, &old);
    let cluster = &scene.cluster;
    let archive = cluster.data().join("old.dump");
    let archive = archive.to_str().expect("temporary folders have plain names");
    run(program(
        cluster,
        "pg_dump",
        "postgres",
        &["-d", "old", "-Fc", "-f", archive],
    ));
    leave_old(&scene, old);
    cluster.execute("CREATE DATABASE new");
    run(program(
        cluster,
        "pg_restore",
        "postgres",
        &["--exit-on-error", "-j", "2", "-d", "new", archive],
    ));
    works(&scene, &cluster.database("new"), &embedded);
}

#[test]
fn schema_first_and_data_later() {
    let scene = Scene::start();
    let old = dumped(&scene);
    let embedded = embeddings(&old);
    leave_one_pending(&scene, &old);
    let cluster = &scene.cluster;
    let archive = cluster.data().join("old.dump");
    let archive = archive.to_str().expect("temporary folders have plain names");
    run(program(
        cluster,
        "pg_dump",
        "postgres",
        &["-d", "old", "-Fc", "-f", archive],
    ));
    leave_old(&scene, old);
    // Rows of the source come after those of the queue: a worker would take them for removed.
    cluster.execute("ALTER SYSTEM SET ai.max_workers = 0");
    cluster.reload();
    cluster.execute("CREATE DATABASE new");
    let restore = |arguments: &[&str]| {
        let mut command = program(
            cluster,
            "pg_restore",
            "postgres",
            &["--exit-on-error", "-d", "new", archive],
        );
        command.args(arguments);
        run(command);
    };
    restore(&["--schema-only"]);
    restore(&["--data-only", "--disable-triggers"]);
    cluster.execute("ALTER SYSTEM RESET ai.max_workers");
    cluster.reload();
    works(&scene, &cluster.database("new"), &embedded);
}

/// Who owns all tables but is no superuser dumps everything once he may see all vectorizers.
/// Restoring takes a superuser, since it writes to the catalogue; without one it is said, and so are the consequences.
#[test]
fn dump_by_the_owner() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE ROLE ann LOGIN");
    let old = dumped(&scene);
    old.execute("GRANT USAGE ON FOREIGN SERVER ai_openai TO ann; ALTER SCHEMA app OWNER TO ann");
    old.execute("ALTER TABLE app.doc OWNER TO ann; ALTER TABLE app.news OWNER TO ann");
    old.execute("ALTER TABLE app.news_25 OWNER TO ann; ALTER TABLE app.news_26 OWNER TO ann");
    let embedded = embeddings(&old);
    leave_one_pending(&scene, &old);
    let archive = cluster.data().join("old.dump");
    let archive = archive.to_str().expect("temporary folders have plain names");
    let arguments = ["-d", "old", "-Fc", "-f", archive];
    let refused = program(cluster, "pg_dump", "ann", &arguments)
        .output()
        .expect("pg_dump starts");
    // PostgreSQL 18 meets the sequence first.
    let denied = ["permission denied for", "user may lack SELECT privilege"];
    let refusal = said(&refused);
    assert!(denied.iter().any(|words| refusal.contains(words)), "{refusal}");
    old.execute("SELECT ai.grant_vectorizer_usage('ann')");
    run(program(cluster, "pg_dump", "ann", &arguments));
    leave_old(&scene, old);

    // By a superuser it comes back.
    cluster.execute("CREATE DATABASE new");
    run(program(
        cluster,
        "pg_restore",
        "postgres",
        &["--exit-on-error", "-d", "new", archive],
    ));
    works(&scene, &cluster.database("new"), &embedded);

    // By the owner the tables come back. What does not is said at once, and at each change of the table.
    cluster.execute("CREATE DATABASE hers OWNER ann");
    let hers = cluster.database("hers");
    hers.execute("CREATE EXTENSION ai CASCADE");
    let output = program(cluster, "pg_restore", "ann", &["-d", "hers", archive])
        .output()
        .expect("pg_restore starts");
    assert!(!output.status.success());
    assert!(
        said(&output).contains("permission denied for table _vectorizer"),
        "{}",
        said(&output)
    );
    assert_eq!(hers.value("SELECT count(*) FROM app.doc"), "3");
    let insert = "INSERT INTO app.doc (tenant, id, body) VALUES (2, 1, 'hers')";
    let output = program(cluster, "psql", "ann", &["-X", "-d", "hers", "-c", insert])
        .output()
        .expect("psql starts");
    assert!(output.status.success(), "{}", said(&output));
    let warning = "the vectorizer of table app.doc is not in the catalogue: nothing is embedded";
    assert!(said(&output).contains(warning), "{}", said(&output));
}
