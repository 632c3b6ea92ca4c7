//! What happens to a vectorizer while something happens to its tables.

mod support;

use support::{DEADLINE, Options, Scene, Stop, wait_until};

const CREATE: &str = "SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('text-embedding-3-small', 8))";

#[test]
fn rows_committed_before_a_late_creation_are_seen() {
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        let scene = Scene::start();
        let cluster = &scene.cluster;
        cluster.execute("CREATE TABLE doc (id int PRIMARY KEY, body text); INSERT INTO doc VALUES (1, 'early')");
        let mut late = cluster.connect().unwrap();
        late.batch_execute(&format!("BEGIN ISOLATION LEVEL {isolation}; SELECT * FROM doc"))
            .unwrap();
        cluster.execute("INSERT INTO doc VALUES (2, 'meanwhile')");
        late.batch_execute(CREATE).unwrap();
        late.batch_execute("COMMIT").unwrap();
        let embedded = "SELECT string_agg(chunk, ', ' ORDER BY id) FROM doc_embedding";
        cluster.wait_for(isolation, embedded, "early, meanwhile");
    }
}

#[test]
fn unlogged_tables_are_empty_together_after_a_crash() {
    let mut scene = Scene::start_with(|options: Options| options);
    scene
        .cluster
        .execute("CREATE UNLOGGED TABLE doc (id int PRIMARY KEY, body text)");
    scene.cluster.execute(CREATE);
    scene.cluster.execute("INSERT INTO doc VALUES (1, 'one')");
    scene
        .cluster
        .wait_for("embedded", "SELECT count(*) FROM doc_embedding_store", "1");
    scene.cluster.stop(Stop::Immediate);
    scene.cluster.start_again();
    for table in ["doc", "doc_embedding_store", "ai._vectorizer_q_1"] {
        assert_eq!(
            scene.cluster.value(&format!("SELECT count(*) FROM {table}")),
            "0",
            "{table}"
        );
    }
    scene.cluster.execute("INSERT INTO doc VALUES (2, 'two')");
    let chunks = || scene.cluster.column("SELECT chunk FROM doc_embedding_store");
    wait_until("embedded again", DEADLINE, chunks, |chunks| chunks == &["two"]);
}

/// A session hears of a new partition a moment after it sees the rows that were committed with it.
#[test]
fn rows_that_come_with_their_partition_are_seen() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE TABLE doc (id int PRIMARY KEY, body text) PARTITION BY LIST (id)");
    cluster.execute(CREATE);
    cluster.execute("CREATE TABLE doc_0 PARTITION OF doc FOR VALUES IN (0); INSERT INTO doc VALUES (0, '0')");
    cluster.wait_for("the worker is warm", "SELECT count(*) FROM doc_embedding_store", "1");
    for id in 1..=10 {
        let make = if id % 2 == 0 {
            format!(
                "CREATE TABLE doc_{id} PARTITION OF doc FOR VALUES IN ({id}); INSERT INTO doc VALUES ({id}, '{id}')"
            )
        } else {
            format!(
                "CREATE TABLE doc_{id} (id int NOT NULL, body text); INSERT INTO doc_{id} VALUES ({id}, '{id}');
                 ALTER TABLE doc ATTACH PARTITION doc_{id} FOR VALUES IN ({id})"
            )
        };
        cluster.execute(&make);
        cluster.wait_for(
            &make,
            &format!("SELECT count(*) FROM doc_embedding_store WHERE id = {id}"),
            "1",
        );
    }
    cluster.execute("DROP TABLE doc_1; ALTER TABLE doc DETACH PARTITION doc_2; TRUNCATE doc_3");
    cluster.wait_for(
        "what left is gone",
        "SELECT string_agg(id::text, ' ' ORDER BY id) FROM doc_embedding_store",
        "0 4 5 6 7 8 9 10",
    );
}

/// Its rows are new to the vectorizer, which has removed what it had of them.
#[test]
fn a_partition_that_comes_back_is_seen() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute(
        "CREATE TABLE doc (id int PRIMARY KEY, body text) PARTITION BY LIST (id);
         CREATE TABLE doc_1 PARTITION OF doc FOR VALUES IN (1);
         CREATE TABLE doc_2 PARTITION OF doc FOR VALUES IN (2)",
    );
    cluster.execute(CREATE);
    cluster.execute("INSERT INTO doc VALUES (1, 'one'), (2, 'two')");
    let embedded = "SELECT string_agg(chunk, ', ' ORDER BY id) FROM doc_embedding_store";
    cluster.wait_for("embedded", embedded, "one, two");
    cluster.execute("ALTER TABLE doc DETACH PARTITION doc_1");
    assert_eq!(cluster.value(embedded), "two");
    cluster.execute("UPDATE doc_1 SET body = 'meanwhile'");
    cluster.execute("ALTER TABLE doc ATTACH PARTITION doc_1 FOR VALUES IN (1)");
    cluster.wait_for("it is back", embedded, "meanwhile, two");
    cluster.execute("TRUNCATE doc_1");
    assert_eq!(cluster.value(embedded), "two");
}

/// Their transaction does not see the vectorizer, but its trigger fires.
#[test]
fn rows_of_a_transaction_older_than_the_vectorizer_are_seen() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    for (number, isolation) in ["REPEATABLE READ", "SERIALIZABLE"].into_iter().enumerate() {
        for partitioned in ["", "PARTITION BY RANGE (id)"] {
            let doc = format!("doc_{number}{}", partitioned.len());
            cluster.execute(&format!(
                "CREATE TABLE {doc} (id int PRIMARY KEY, body text) {partitioned}"
            ));
            if !partitioned.is_empty() {
                cluster.execute(&format!("CREATE TABLE {doc}_all PARTITION OF {doc} DEFAULT"));
            }
            let mut early = cluster.connect().unwrap();
            early
                .batch_execute(&format!("BEGIN ISOLATION LEVEL {isolation}; SELECT 1 FROM pg_class"))
                .unwrap();
            cluster.execute(&CREATE.replace("doc", &doc));
            early
                .batch_execute(&format!(
                    "INSERT INTO {doc} VALUES (1, 'one'); UPDATE {doc} SET body = 'two'; COMMIT"
                ))
                .unwrap();
            let what = format!("{isolation} {partitioned}");
            let embedded = format!("SELECT string_agg(chunk, ', ') FROM {doc}_embedding_store");
            cluster.wait_for(&what, &embedded, "two");
            // Where it leads is known to the session from now on.
            early
                .batch_execute(&format!("INSERT INTO {doc} VALUES (2, 'more')"))
                .unwrap();
            cluster.wait_for(&what, &embedded, "two, more");
        }
    }
    assert!(!cluster.log().contains("is not in the catalogue"), "{}", cluster.log());
}

/// Their transaction does not see the chunks, which the worker has written since it began.
#[test]
fn what_leaves_in_a_transaction_older_than_its_chunks_takes_them_along() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    let embedded = "SELECT string_agg(chunk, ', ' ORDER BY id) FROM doc_embedding_store";
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        for leave in [
            "TRUNCATE doc_1",
            "ALTER TABLE doc DETACH PARTITION doc_1",
            "DROP TABLE doc_1",
        ] {
            cluster.execute(
                "CREATE TABLE doc (id int PRIMARY KEY, body text) PARTITION BY LIST (id);
                 CREATE TABLE doc_1 PARTITION OF doc FOR VALUES IN (1);
                 CREATE TABLE doc_2 PARTITION OF doc FOR VALUES IN (2)",
            );
            cluster.execute(CREATE);
            let mut early = cluster.connect().unwrap();
            early
                .batch_execute(&format!("BEGIN ISOLATION LEVEL {isolation}; SELECT 1 FROM pg_class"))
                .unwrap();
            cluster.execute("INSERT INTO doc VALUES (1, 'one'), (2, 'two')");
            cluster.wait_for(leave, embedded, "one, two");
            cluster.wait_until_settled();
            early.batch_execute(&format!("{leave}; COMMIT")).unwrap();
            assert_eq!(cluster.value(embedded), "two", "{leave} in {isolation}");
            cluster.execute("DROP TABLE doc CASCADE; DROP TABLE doc_embedding_store; DROP TABLE IF EXISTS doc_1");
        }
    }
}

/// What fires when the worker writes its vector may be anything: only that it has written it is no news.
#[test]
fn what_a_vector_brings_about_elsewhere_is_seen() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    for (a, b, partition) in [("a", "b", ""), ("pa", "pb", "PARTITION BY RANGE (id)")] {
        cluster.execute(&format!(
            "CREATE TABLE {a} (id int PRIMARY KEY, body text, seen int DEFAULT 0) {partition};
             CREATE TABLE {b} (id int PRIMARY KEY, body text) {partition}"
        ));
        if !partition.is_empty() {
            cluster.execute(&format!(
                "CREATE TABLE {a}_all PARTITION OF {a} DEFAULT; CREATE TABLE {b}_all PARTITION OF {b} DEFAULT"
            ));
        }
        cluster.execute(&format!(
            "INSERT INTO {b} VALUES (1, 'before');
             SELECT ai.create_vectorizer('{a}', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_column('vec'));
             SELECT ai.create_vectorizer('{b}', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8))"
        ));
        let embedded = format!("SELECT string_agg(chunk, ', ') FROM {b}_embedding_store");
        cluster.wait_for("embedded", &embedded, "before");
        // The row itself is touched with each vector, which is no news, or it would never come to rest.
        cluster.execute(&format!(
            "CREATE FUNCTION {a}_touch() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN NEW.seen := OLD.seen + 1; RETURN NEW; END $$;
             CREATE TRIGGER touch BEFORE UPDATE ON {a} FOR EACH ROW EXECUTE FUNCTION {a}_touch();
             CREATE FUNCTION {a}_pass_on() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN UPDATE public.{b} SET body = NEW.body WHERE id = NEW.id; RETURN NULL; END $$;
             CREATE TRIGGER pass_on AFTER UPDATE ON {a} FOR EACH ROW EXECUTE FUNCTION {a}_pass_on();
             INSERT INTO {a} VALUES (1, 'after')"
        ));
        cluster.wait_for("passed on", &embedded, "after");
        cluster.wait_until_settled();
        assert_eq!(cluster.value(&format!("SELECT seen FROM {a}")), "1", "{a}");
    }
}

/// A template of one owner is no concern of the others, nor of the worker.
#[test]
fn a_column_that_no_template_can_name_stops_its_vectorizer_only() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE TABLE doc (id int PRIMARY KEY, body text, title text); CREATE TABLE other (id int PRIMARY KEY, body text)");
    cluster.execute(
        "SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'),
             formatting => ai.formatting_python_template('$title: $chunk'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    cluster.execute(&CREATE.replace("doc", "other"));
    // Past the event trigger, as what a replica applies.
    cluster.execute(
        "SET session_replication_role = replica; ALTER TABLE doc RENAME title TO \"my title\"; RESET session_replication_role",
    );
    // The worker looks at all vectorizers anew.
    cluster.execute("UPDATE ai._vectorizer SET disabled = false");
    let said = "SELECT string_agg(details ->> 'error_reason', ', ') FROM ai.vectorizer_errors";
    cluster.wait_for("it says so", said, "its template names title, which its source lacks");
    cluster.execute("INSERT INTO other VALUES (1, 'one')");
    let embedded = "SELECT count(*) FROM other_embedding_store";
    cluster.wait_for("the worker works on", embedded, "1");
    cluster.execute("ALTER TABLE other ADD note text; CREATE SCHEMA app; ALTER SCHEMA app RENAME TO moved");
    cluster.execute("CREATE TABLE third (id int PRIMARY KEY, body text)");
    cluster.execute(&CREATE.replace("doc", "third"));
    // Writers are not in the way of a name, and a name that fits ends it.
    cluster.execute("INSERT INTO doc VALUES (1, 'one', 'One')");
    cluster.execute("ALTER TABLE doc RENAME \"my title\" TO headline");
    cluster.wait_for(
        "it goes on",
        "SELECT string_agg(chunk, ', ') FROM doc_embedding_store",
        "One: one",
    );
}

/// Columns that are renamed with their type, or with the parent of their table.
#[test]
fn columns_that_are_renamed_elsewhere_are_followed() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute(
        "CREATE TYPE form AS (id int, body text, title text);
         CREATE TABLE typed OF form (PRIMARY KEY (id));
         CREATE TABLE parent (id int, body text, title text);
         CREATE TABLE doc (id int PRIMARY KEY, body text, title text)",
    );
    for table in ["typed", "doc"] {
        cluster.execute(&format!(
            "SELECT ai.create_vectorizer('{table}', loading => ai.loading_column('body'),
                 formatting => ai.formatting_python_template('$title: $chunk'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8))"
        ));
    }
    // A parent that came when nobody looked.
    cluster.execute(
        "SET session_replication_role = replica; ALTER TABLE doc INHERIT parent; RESET session_replication_role",
    );
    for (table, rename) in [
        ("typed", "ALTER TYPE form RENAME ATTRIBUTE {} CASCADE"),
        ("doc", "ALTER TABLE parent RENAME COLUMN {}"),
    ] {
        let rename = |column: &str, to: &str| rename.replace("{}", &format!("{column} TO {to}"));
        let (code, message) = cluster.refusal(&rename("title", "\"my title\""));
        assert_eq!(code, "42602", "{message}");
        assert!(message.contains("cannot name a column \"my title\""), "{message}");
        for (column, to) in [("id", "number"), ("body", "text"), ("title", "headline")] {
            cluster.execute(&rename(column, to));
        }
        cluster.execute(&format!(
            "INSERT INTO {table} VALUES (1, 'one', 'One'), (2, 'two', 'Two')"
        ));
        let embedded = format!("SELECT string_agg(chunk, ', ' ORDER BY id) FROM {table}_embedding_store");
        cluster.wait_for(table, &embedded, "One: one, Two: two");
        cluster.execute(&format!("DELETE FROM {table} WHERE number = 1"));
        cluster.wait_for(table, &embedded, "Two: two");
    }
}

/// Queue and intake keep the type that the key had: a key that does not fit would fail in a writer's transaction.
#[test]
fn the_type_of_a_key_stays() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute(
        "CREATE TYPE form AS (id int, body text, vec vector(8));
         CREATE TABLE typed OF form (PRIMARY KEY (id));
         CREATE TABLE doc (id int, kind varchar(5), body text, PRIMARY KEY (kind, id))",
    );
    for table in ["typed", "doc"] {
        cluster.execute(&format!(
            "SELECT ai.create_vectorizer('{table}', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_column('vec'))"
        ));
    }
    for alter in [
        "ALTER TABLE doc ALTER id TYPE bigint",
        "ALTER TABLE doc ALTER kind TYPE varchar(50)",
        "ALTER TABLE doc ALTER kind TYPE varchar(5) COLLATE \"C\"",
        "ALTER TYPE form ALTER ATTRIBUTE id TYPE bigint CASCADE",
    ] {
        let refused = cluster.refusal(alter);
        assert_eq!(refused.0, "0A000", "{alter}: {refused:?}");
        assert!(refused.1.contains("is in the primary key of vectorizer"), "{refused:?}");
    }
    // Everything else may be altered; also where the types differ since nobody looked.
    cluster.execute("ALTER TABLE doc ALTER body TYPE varchar(100); ALTER TABLE doc ALTER id SET STATISTICS 10");
    cluster.execute(
        "SET session_replication_role = replica; ALTER TABLE doc ALTER id TYPE bigint; RESET session_replication_role",
    );
    cluster.execute("ALTER TABLE doc ADD note text");
    cluster.execute("INSERT INTO doc VALUES (1, 'plain', 'one')");
    cluster.wait_for("embedded", "SELECT count(vec) FROM doc", "1");
    // As the hint says.
    cluster.execute(
        "SELECT ai.drop_vectorizer(2, drop_all => false);
         ALTER TABLE doc ALTER kind TYPE varchar(50);
         SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
             embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_column('vec'))",
    );
    cluster.execute("INSERT INTO doc VALUES (3000000000, 'not so plain', 'two')");
    cluster.wait_for("embedded", "SELECT count(vec) FROM doc", "2");
}

/// Statements on one member of a tree of tables do not fire the triggers of the others.
#[test]
fn a_source_joins_no_tree_of_tables() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute(
        "CREATE TABLE root (id int PRIMARY KEY, body text) PARTITION BY LIST (id);
         CREATE TABLE parent (id int, body text);
         CREATE TABLE doc (id int PRIMARY KEY, body text);
         CREATE TABLE parts (id int PRIMARY KEY, body text) PARTITION BY LIST (id)",
    );
    for table in ["doc", "parts"] {
        cluster.execute(&CREATE.replace("doc", table));
    }
    let partition = "is a partition: make the vectorizer on the partitioned table";
    let inherits = "inherits or is inherited from, which is not supported";
    for (alter, source, why) in [
        (
            "ALTER TABLE root ATTACH PARTITION doc FOR VALUES IN (1)",
            "doc",
            partition,
        ),
        (
            "ALTER TABLE root ATTACH PARTITION parts FOR VALUES IN (1)",
            "parts",
            partition,
        ),
        (
            "CREATE TABLE level PARTITION OF root DEFAULT PARTITION BY LIST (id); ALTER TABLE level ATTACH PARTITION doc DEFAULT",
            "doc",
            partition,
        ),
        ("ALTER TABLE doc INHERIT parent", "doc", inherits),
        ("CREATE TABLE child () INHERITS (doc)", "doc", inherits),
        (
            "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
             CREATE FOREIGN TABLE child () INHERITS (doc) SERVER nowhere",
            "doc",
            inherits,
        ),
        (
            "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
             CREATE FOREIGN TABLE child (id int NOT NULL, body text) SERVER nowhere; ALTER FOREIGN TABLE child INHERIT doc",
            "doc",
            inherits,
        ),
        (
            "CREATE TABLE child (id int NOT NULL, body text); ALTER TABLE child INHERIT doc",
            "doc",
            inherits,
        ),
    ] {
        let refused = cluster.refusal(alter);
        assert_eq!(
            refused,
            ("0A000".to_owned(), format!("public.{source} {why}")),
            "{alter}"
        );
    }
    // One that has joined when nobody looked is still altered, and let go.
    cluster.execute(
        "SET session_replication_role = replica; ALTER TABLE doc INHERIT parent; RESET session_replication_role",
    );
    cluster.execute("ALTER TABLE doc ADD note text; ALTER TABLE doc NO INHERIT parent");
    // Its own partitions join it as ever.
    cluster.execute("CREATE TABLE part PARTITION OF parts DEFAULT; INSERT INTO parts VALUES (1, 'one')");
    cluster.wait_for("embedded", "SELECT count(*) FROM parts_embedding_store", "1");
}

/// Embeddings are paid for: they go only where somebody says that they are to go.
#[test]
fn chunks_outlive_their_source() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE SCHEMA app; CREATE ROLE owner; GRANT CREATE, USAGE ON SCHEMA app, public TO owner");
    cluster.execute("GRANT USAGE ON FOREIGN SERVER ai_openai TO owner");
    let make = |doc: &str, store: &str| {
        cluster.execute(&format!(
            "CREATE TABLE {doc} (id int PRIMARY KEY, body text); INSERT INTO {doc} VALUES (1, 'one')"
        ));
        cluster.execute(&format!(
            "SELECT ai.create_vectorizer('{doc}', loading => ai.loading_column('body'),
                 destination => ai.destination_table(target_schema => 'public', target_table => '{store}'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8))"
        ));
        cluster.wait_for(
            "embedded",
            &format!("SELECT string_agg(chunk, ' ') FROM {store}"),
            "one",
        );
        cluster.wait_until_settled();
    };
    let script = cluster.data().join("drop.sql");
    let kept = |drop: &str, store: &str| {
        std::fs::write(&script, format!("{drop};")).expect("a folder that can be written to");
        let told = cluster.psql("postgres", &script).1;
        assert!(told.contains(&format!("stay in public.{store}")), "{drop}: {told}");
        assert_eq!(cluster.column(&format!("SELECT chunk FROM {store}")), ["one"], "{drop}");
        assert_eq!(cluster.value("SELECT count(*) FROM ai.vectorizer"), "0", "{drop}");
        let left = "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_vectorizer\\_%\\_' || (SELECT last_value FROM ai.vectorizer_id_seq)";
        assert_eq!(cluster.value(left), "0", "{drop}");
        cluster.execute(&format!("DROP TABLE {store} CASCADE"));
    };
    make("doc", "swapped");
    // The new table takes the place of the old one, which is no more than a table that is not needed any more.
    cluster.execute(
        "CREATE TABLE fresh (LIKE doc INCLUDING ALL); INSERT INTO fresh TABLE doc;
         ALTER TABLE doc RENAME TO old; ALTER TABLE fresh RENAME TO doc;
         CREATE OR REPLACE VIEW doc_embedding AS
             SELECT t.embedding_uuid, t.chunk_seq, t.chunk, t.embedding, t.id, d.body FROM swapped t LEFT JOIN doc d USING (id)",
    );
    cluster.execute("DROP TABLE old; INSERT INTO doc VALUES (2, 'two')");
    assert_eq!(
        cluster.column("SELECT chunk || ' of ' || body FROM doc_embedding"),
        ["one of one"]
    );
    cluster.execute("DROP TABLE doc, swapped CASCADE");
    make("doc", "cascaded");
    // The view is in the way of a drop, and does not go in silence.
    assert_eq!(cluster.refusal("DROP TABLE doc").0, "2BP01");
    kept("DROP TABLE doc CASCADE", "cascaded");
    make("app.doc", "of_a_schema");
    kept("DROP SCHEMA app CASCADE", "of_a_schema");
    cluster.execute("CREATE SCHEMA app");
    make("app.doc", "of_an_owner");
    cluster.execute("ALTER TABLE app.doc OWNER TO owner; ALTER TABLE of_an_owner OWNER TO postgres");
    kept("DROP OWNED BY owner CASCADE", "of_an_owner");
    // What is named goes, and what is in a schema that is dropped with all that is in it.
    make("app.doc", "named");
    cluster.execute("DROP TABLE app.doc, named CASCADE");
    cluster.execute("CREATE TABLE app.doc (id int PRIMARY KEY, body text)");
    cluster.execute(&CREATE.replace("'doc'", "'app.doc'"));
    cluster.execute("DROP SCHEMA app CASCADE");
    assert_eq!(cluster.value("SELECT count(*) FROM ai.vectorizer"), "0");
    assert_eq!(
        cluster.value("SELECT count(*) FROM pg_class WHERE relname LIKE '%embedding%store'"),
        "0"
    );
}
