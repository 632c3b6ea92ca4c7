//! What a vectorizer is made of is not put where it would go with a session, or where Postgres keeps its own.

mod support;

use support::Scene;

#[test]
fn queues_and_destinations_are_in_schemas_that_last() {
    let scene = Scene::start();
    let database = &scene.cluster;
    database.execute("CREATE TABLE doc (id int PRIMARY KEY, body text); CREATE TEMP TABLE mine (id int)");
    let mine = database.value("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()");
    let toast = mine.replace("pg_temp", "pg_toast_temp");
    let create = |more: &str| {
        format!(
            "SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 4), {more})"
        )
    };
    for schema in [
        "pg_temp",
        &mine,
        &toast,
        "pg_toast",
        "pg_catalog",
        "information_schema",
        "pg_temp_99999",
    ] {
        for (argument, given) in [
            ("queue_schema", format!("queue_schema => '{schema}'")),
            (
                "queue_schema",
                format!("queue_schema => '{schema}', queue_table => 'q'"),
            ),
            (
                "target_schema",
                format!("destination => ai.destination_table(target_schema => '{schema}')"),
            ),
            (
                "view_schema",
                format!("destination => ai.destination_table(view_schema => '{schema}')"),
            ),
        ] {
            let (code, message) = database.refusal(&create(&given));
            assert_eq!(code, "42P16", "{given}: {message}");
            assert!(
                message.starts_with(&format!("{argument} cannot be {schema}: ")),
                "{given}: {message}"
            );
        }
    }
    assert_eq!(database.value("SELECT count(*) FROM ai._vectorizer"), "0");
    // The source goes with its session, too.
    database.execute("CREATE TEMP TABLE gone (id int PRIMARY KEY, body text)");
    let (code, message) = database.refusal(&create("if_not_exists => true").replace("'doc'", "'gone'"));
    assert_eq!(code, "0A000", "{message}");
    database.execute("CREATE SCHEMA pgx");
    database.execute(&create("queue_schema => 'pgx'"));
}
