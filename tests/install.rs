//! What was in a database before the extension: a schema of its name, and what others make in it meanwhile.

mod support;

use support::Scene;
use support::lair::{LAIR, by};

/// A database without the extension, of which mallory is the owner.
fn bare() -> Scene {
    let scene = Scene::start();
    scene
        .cluster
        .execute("DROP EXTENSION ai CASCADE; DROP SCHEMA IF EXISTS ai");
    scene.cluster.execute(LAIR);
    scene.cluster.execute("ALTER DATABASE postgres OWNER TO mallory");
    scene
}

/// An overload of a function of the extension, that wins where it is called with two texts.
const OVERLOAD: &str = "CREATE FUNCTION ai.wait_for_vectorizer(text, text) RETURNS bool LANGUAGE plpgsql AS $$
    BEGIN PERFORM m.strike('overload'); RETURN true; END $$";

fn refused(scene: &Scene, expected: (&str, &str)) {
    let (code, said) = scene.cluster.refusal("CREATE EXTENSION ai CASCADE");
    assert_eq!((code.as_str(), said.as_str()), expected);
}

/// Hers, empty or not, and also when what she makes in it is not committed yet.
#[test]
fn a_schema_of_another_is_refused() {
    let scene = bare();
    by(&scene, "mallory", "CREATE SCHEMA ai");
    let belongs = ("42501", "the schema ai belongs to mallory");
    refused(&scene, belongs);
    let mut hers = scene.cluster.connect().expect("the server takes connections");
    let mut open = hers.transaction().expect("a transaction begins");
    open.batch_execute(&format!("SET SESSION AUTHORIZATION mallory; {OVERLOAD}"))
        .expect("it is her schema");
    refused(&scene, belongs);
    // Given to a superuser, it still has what she has not committed.
    scene.cluster.execute("ALTER SCHEMA ai OWNER TO postgres");
    refused(
        &scene,
        (
            "55006",
            "a transaction that is still open makes something in the schema ai",
        ),
    );
    // In one transaction with the install, she can still make something: nothing of this is committed.
    open.rollback().expect("it ends");
    scene.cluster.execute("ALTER SCHEMA ai OWNER TO mallory");
    let (code, said) = scene
        .cluster
        .refusal("BEGIN; ALTER SCHEMA ai OWNER TO postgres; CREATE EXTENSION ai CASCADE");
    assert_eq!(
        (code.as_str(), said.as_str()),
        ("55006", "the schema ai was altered in this transaction")
    );
    scene.cluster.execute("ROLLBACK");
    by(
        &scene,
        "mallory",
        &format!("DROP SCHEMA ai; CREATE SCHEMA ai; {OVERLOAD}"),
    );
    refused(&scene, belongs);
    scene.cluster.execute("ALTER SCHEMA ai OWNER TO postgres");
    refused(
        &scene,
        (
            "42710",
            "the schema ai is not empty: function ai.wait_for_vectorizer(text,text)",
        ),
    );
    scene
        .cluster
        .execute("DROP SCHEMA ai CASCADE; CREATE EXTENSION ai CASCADE");
    let overloads = "SELECT count(*) FROM pg_proc WHERE proname = 'wait_for_vectorizer'";
    assert_eq!(scene.cluster.value(overloads), "1");
}

/// Of other kinds of objects, too; and where she was only let in.
#[test]
fn what_is_made_in_the_schema_meanwhile_is_refused() {
    let scene = bare();
    scene
        .cluster
        .execute("CREATE SCHEMA ai; GRANT ALL ON SCHEMA ai TO mallory");
    refused(&scene, ("42501", "mallory may make things in the schema ai"));
    scene
        .cluster
        .execute("REVOKE ALL ON SCHEMA ai FROM mallory; GRANT ALL ON SCHEMA ai TO PUBLIC");
    refused(&scene, ("42501", "PUBLIC may make things in the schema ai"));
    for made in [
        OVERLOAD,
        "CREATE TYPE ai.vector AS (x int)",
        "CREATE TABLE ai.worker_status_of_all (x int)",
        "CREATE OPERATOR ai.= (LEFTARG = name, RIGHTARG = text, FUNCTION = pg_catalog.nameeqtext)",
        "CREATE COLLATION ai.c (LOCALE = 'C')",
    ] {
        scene.cluster.execute("GRANT ALL ON SCHEMA ai TO mallory");
        let mut hers = scene.cluster.connect().expect("the server takes connections");
        let mut open = hers.transaction().expect("a transaction begins");
        open.batch_execute(&format!("SET SESSION AUTHORIZATION mallory; {made}"))
            .unwrap_or_else(|error| panic!("{made}: {error:?}"));
        scene.cluster.execute("REVOKE ALL ON SCHEMA ai FROM mallory, PUBLIC");
        refused(
            &scene,
            (
                "55006",
                "a transaction that is still open makes something in the schema ai",
            ),
        );
        open.rollback().expect("it ends");
    }
    // As pg_dump has it: the schema first, and empty.
    scene.cluster.execute("CREATE EXTENSION ai CASCADE");
}
