//! Rows of the extension's tables that were changed by hand, in a dump or by a superuser: each is its own
//! misfortune. Statements about all vectorizers go on, what is done to the source goes on, and the row can be
//! dropped.

mod support;

use support::Scene;
use support::lair::{by, lair, vectorize};

/// What becomes of a row. `{c}` stands for its `config`.
const DAMAGES: [&str; 38] = [
    r#"trigger_function = '"; select 1'"#,
    "trigger_function = ''",
    "trigger_function = 'nope'",
    "trigger_function = 'a.b.c.d'",
    r#"trigger_function = 'public."'"#,
    "trigger_function = repeat('x', 100000) || '.y'",
    "trigger_function = 'pg_catalog.now'",
    "source_pk = 'null'",
    "source_pk = '[]'",
    r#"source_pk = '"x"'"#,
    r#"source_pk = '{"a": 1}'"#,
    "source_pk = '[1, null]'",
    r#"source_pk = '[{"attnum": "x", "attname": "id", "pknum": 1}]'"#,
    r#"source_pk = '[{"attnum": 99999999999999999999, "attname": "id", "pknum": 1}]'"#,
    r#"source_pk = '[{"attnum": 1, "attname": null, "pknum": null}]'"#,
    "columns = 'null'",
    "columns = '[1]'",
    r#"columns = '{"body": "x", "t": {}}'"#,
    r#"columns = '{"body": 99999999999}'"#,
    "config = 'null'",
    "config = '[]'",
    "config = '{}'",
    r#"config = '"x"'"#,
    r#"config = '{"destination": 1, "loading": [], "embedding": "x", "formatting": null}'"#,
    r#"config = jsonb_set(config, '{embedding,dimensions}', '"many"')"#,
    "queue = 'pg_class'",
    "queue = 0",
    "queue_failed = 'pg_proc'",
    "target = 'pg_class'",
    "target = 4294967295::oid",
    "view = 'pg_views'",
    "intake = 'pg_class'",
    "intake = 0",
    "queue = 'pg_class', place = 'garbage'",
    "place = 'garbage'",
    "partitions = '{0,4294967295}'",
    "owner = 'nobody_there', owner_place = 'x'",
    "trigger_name = 'x'",
];

#[test]
fn a_damaged_row_of_the_catalogue_fails_nothing_else() {
    let scene = lair();
    let cluster = &scene.cluster;
    vectorize(&scene, "ann", "a", "fine");
    vectorize(&scene, "ann", "a", "other");
    let kept =
        cluster.value("SELECT count(*) FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND objid < 16384");
    for (number, damage) in DAMAGES.iter().enumerate() {
        // Of a superuser, to whom the tables of Postgres belong, and of a user.
        for (role, schema) in [("postgres", "public"), ("mallory", "m")] {
            let name = format!("{schema}_{number}");
            by(
                &scene,
                role,
                &format!(
                    "CREATE TABLE {schema}.d{number} (id int PRIMARY KEY, body text, t text);
                     SELECT ai.create_vectorizer('{schema}.d{number}', name => '{name}', loading => ai.loading_column('body'),
                         formatting => ai.formatting_python_template('$t $chunk'), chunking => ai.chunking_none(),
                         embedding => ai.embedding_openai('text-embedding-3-small', 4));
                     -- It would keep its columns from being altered.
                     DROP VIEW {schema}.d{number}_embedding"
                ),
            );
            cluster.execute(&format!("UPDATE ai._vectorizer SET {damage} WHERE name = '{name}'"));
        }
    }
    // What is asked about all.
    let views = [
        "worker_status",
        "vectorizer_status",
        "vectorizer",
        "vectorizer_errors",
        "vectorizer_failed",
    ];
    for view in views {
        for role in ["postgres", "mallory", "ann"] {
            by(&scene, role, &format!("SELECT * FROM ai.{view}"));
        }
    }
    by(&scene, "ann", "INSERT INTO a.fine VALUES (1, 'one')");
    cluster.wait_for("others go on", "SELECT count(*) FROM a.fine_embedding_store", "1");
    by(
        &scene,
        "ann",
        "SELECT ai.drop_vectorizer('other'); DROP TABLE a.other CASCADE",
    );
    // What is done to the sources, by their owners.
    for (number, damage) in DAMAGES.iter().enumerate() {
        for (role, schema) in [("postgres", "public"), ("mallory", "m")] {
            let table = format!("{schema}.d{number}");
            for ddl in [
                "ADD COLUMN z int",
                "RENAME t TO u",
                "ALTER body TYPE varchar(100)",
                "DROP COLUMN z",
            ] {
                let altered = cluster.try_rows(&format!(
                    "SET SESSION AUTHORIZATION {role}; ALTER TABLE {table} {ddl}; RESET SESSION AUTHORIZATION"
                ));
                if let Err(error) = altered {
                    panic!("{damage} of {role}: {ddl}: {}", support::database::describe(&error));
                }
            }
            // Its own functions may say what is wrong; an ERROR without a code of its own says nothing.
            for call in [
                "vectorizer_embed('{}', 'x')",
                "retry_vectorizer('{}')",
                "verify_vectorizer('{}')",
            ] {
                let call = call.replace("{}", &format!("{schema}_{number}"));
                let answer = cluster.try_rows(&format!("SELECT ai.{call}"));
                let code = answer
                    .err()
                    .and_then(|error| error.code().map(|code| code.code().to_owned()));
                assert_ne!(code.as_deref(), Some("XX000"), "{damage}: {call}");
            }
        }
    }
    // And each can be dropped by its owner.
    for (number, damage) in DAMAGES.iter().enumerate() {
        for (role, schema) in [("postgres", "public"), ("mallory", "m")] {
            let dropped = cluster.try_rows(&format!(
                "SET SESSION AUTHORIZATION {role}; SELECT ai.drop_vectorizer('{schema}_{number}', drop_all => true);
                 RESET SESSION AUTHORIZATION"
            ));
            if let Err(error) = dropped {
                panic!("{damage} of {role}: {}", support::database::describe(&error));
            }
        }
    }
    assert_eq!(cluster.column("SELECT name FROM ai._vectorizer"), ["fine"]);
    assert_eq!(
        cluster.value("SELECT count(*) FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND objid < 16384"),
        kept,
        "nothing of Postgres' own goes with the extension"
    );
    by(&scene, "ann", "INSERT INTO a.fine VALUES (2, 'two')");
    cluster.wait_for("others go on", "SELECT count(*) FROM a.fine_embedding_store", "2");
}

#[test]
fn a_damaged_row_of_the_errors_is_shown() {
    let scene = Scene::start();
    scene.cluster.execute(
        "CREATE TABLE doc (id int PRIMARY KEY, body text); CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher;
         SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'), name => 'doc',
             embedding => ai.embedding_openai('text-embedding-3-small', 8));
         INSERT INTO ai._vectorizer_errors (id, message, details, step, failure_class, primary_key)
         VALUES (1, 'm', '\"x\"', 's1', 'transient', '1'), (1, 'm', '[1]', 's2', 'transient', '2'),
                (1, NULL, NULL, 's3', 'transient', '[]'), (1, 'm', '{\"primary_key\": 4, \"a\": 1}', 's4', 'transient', '{\"id\": 4}')",
    );
    scene.cluster.execute("SET SESSION AUTHORIZATION watcher");
    let seen = scene
        .cluster
        .column("SELECT coalesce(details::text, 'none') FROM ai.vectorizer_errors ORDER BY step");
    scene.cluster.execute("RESET SESSION AUTHORIZATION");
    assert_eq!(seen, ["none", "none", "none", "{\"a\": 1}"]);
}

/// A role may see a vectorizer, and not look into the schema of its trigger function.
#[test]
fn the_schema_of_a_trigger_function_keeps_nobody_from_the_views() {
    let scene = lair();
    vectorize(&scene, "mallory", "m", "doc");
    scene
        .cluster
        .execute("REVOKE USAGE ON SCHEMA m FROM PUBLIC; GRANT pg_monitor TO ann");
    by(
        &scene,
        "ann",
        "SELECT * FROM ai.worker_status; SELECT * FROM ai.vectorizer_status",
    );
    let (function, _) = ("SELECT trigger_function FROM ai._vectorizer", ());
    let found = format!("SELECT ai._trigger_function(({function})) = to_regprocedure(({function}) || '()')");
    assert_eq!(scene.cluster.value(&found), "t");
    // As SQL reads names.
    scene.cluster.execute(
        "CREATE SCHEMA \"Odd\"\"one\"; CREATE FUNCTION \"Odd\"\"one\".\"a.b\"() RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE FUNCTION m.\"größe\"() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    );
    for (name, expected) in [
        ("\"Odd\"\"one\".\"a.b\"", "t"),
        ("m.\"größe\"", "t"),
        ("M.größe", "t"),
        ("m.größe.x", "NULL"),
        ("größe", "NULL"),
        ("m.", "NULL"),
        (".m", "NULL"),
        ("\"m\".\"", "NULL"),
        ("m.\"größe\"()", "NULL"),
    ] {
        let found = format!("SELECT ai._trigger_function('{name}') IN (SELECT oid FROM pg_proc)");
        assert_eq!(scene.cluster.value(&found), expected, "{name}");
    }
}
