//! Statements that alter and drop tables in a transaction that began before their vectorizer was made, and does not
//! see it.

mod support;

use support::{Database, Scene};

const CREATE: &str = "SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('text-embedding-3-small', 8))";

/// Runs statements in a transaction that is older than what `make` makes.
#[track_caller]
fn in_older_view(database: &Database, isolation: &str, make: impl FnOnce(), sql: &str) {
    let mut old = database.connect().expect("another session");
    old.batch_execute(&format!(
        "BEGIN ISOLATION LEVEL {isolation}; SELECT count(*) FROM pg_class"
    ))
    .expect("a look");
    make();
    old.batch_execute(&format!("{sql}; COMMIT"))
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

#[test]
fn a_partition_joins_and_leaves_in_an_older_view() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    let embedded = "SELECT coalesce(string_agg(chunk, ', ' ORDER BY id), '') FROM doc_embedding_store";
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        cluster.execute(
            "CREATE TABLE doc (id int PRIMARY KEY, body text) PARTITION BY LIST (id);
             CREATE TABLE doc_2 PARTITION OF doc FOR VALUES IN (2);
             CREATE TABLE doc_1 (id int NOT NULL, body text); INSERT INTO doc_1 VALUES (1, 'one')",
        );
        let make = || {
            cluster.execute(CREATE);
            cluster.execute("INSERT INTO doc VALUES (2, 'two')");
            cluster.wait_for("embedded", embedded, "two");
            cluster.wait_until_settled();
        };
        in_older_view(
            cluster,
            isolation,
            make,
            "ALTER TABLE doc ATTACH PARTITION doc_1 FOR VALUES IN (1)",
        );
        cluster.wait_for(isolation, embedded, "one, two");
        let nothing = || ();
        in_older_view(cluster, isolation, nothing, "TRUNCATE doc_1");
        assert_eq!(cluster.value(embedded), "two", "{isolation}");
        cluster.execute("DROP TABLE doc CASCADE; DROP TABLE doc_embedding_store");
        // Made after the view, and gone in it.
        cluster.execute("CREATE TABLE doc (id int PRIMARY KEY, body text) PARTITION BY LIST (id); CREATE TABLE doc_1 PARTITION OF doc FOR VALUES IN (1); CREATE TABLE doc_2 PARTITION OF doc FOR VALUES IN (2)");
        let make = || {
            cluster.execute(CREATE);
            cluster.execute("INSERT INTO doc VALUES (1, 'one'), (2, 'two')");
            cluster.wait_for("embedded", embedded, "one, two");
            cluster.wait_until_settled();
        };
        in_older_view(cluster, isolation, make, "DROP TABLE doc_1");
        assert_eq!(cluster.value(embedded), "two", "{isolation}");
        let again = || {
            cluster
                .execute("CREATE TABLE doc_1 PARTITION OF doc FOR VALUES IN (1); INSERT INTO doc VALUES (1, 'again')");
            cluster.wait_for("embedded", embedded, "again, two");
            cluster.wait_until_settled();
        };
        in_older_view(cluster, isolation, again, "ALTER TABLE doc DETACH PARTITION doc_1");
        assert_eq!(cluster.value(embedded), "two", "{isolation}");
        cluster.execute("DROP TABLE doc CASCADE; DROP TABLE doc_embedding_store; DROP TABLE doc_1");
    }
}

/// The catalogue knows no view that is gone, and who drops what a vectorizer needs is told.
#[test]
fn what_is_dropped_in_an_older_view_is_followed() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    for (number, isolation) in ["REPEATABLE READ", "SERIALIZABLE"].into_iter().enumerate() {
        cluster.execute("CREATE TABLE doc (id int PRIMARY KEY, body text)");
        let mut old = cluster.connect().expect("another session");
        old.batch_execute(&format!(
            "SET log_min_messages = notice; BEGIN ISOLATION LEVEL {isolation}; SELECT count(*) FROM pg_class"
        ))
        .expect("a look");
        cluster.execute(CREATE);
        // Changed since, too.
        cluster.execute("SELECT ai.disable_vectorizer_schedule('doc'); SELECT ai.enable_vectorizer_schedule('doc')");
        old.batch_execute("DROP VIEW doc_embedding; ALTER TABLE doc DROP COLUMN body; COMMIT")
            .expect("the view and the column are dropped");
        assert_eq!(
            cluster.value("SELECT count(*) FROM ai._vectorizer WHERE view IS NOT NULL"),
            "0",
            "{isolation}"
        );
        let told = cluster.log().matches("needs the column body that was dropped").count();
        assert_eq!(told, number + 1, "{isolation}");
        cluster.execute("SELECT ai.drop_vectorizer('doc', drop_all => true); DROP TABLE doc");
    }
}
