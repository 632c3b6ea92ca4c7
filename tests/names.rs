//! What names of vectorizers tell of those that a role does not see, and where the tables of a vectorizer may be.

mod support;

use support::lair::{by, lair, vectorize};

fn make(name: &str, more: &str) -> String {
    format!(
        "SELECT ai.create_vectorizer('m.doc', {name}loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4){more})"
    )
}

/// Ann has taken a name, on purpose or not: a migration of mallory's is not turned off by that.
#[test]
fn a_name_that_another_has_taken_turns_no_migration_off() {
    let scene = lair();
    vectorize(&scene, "ann", "a", "m_doc_embedding_store");
    vectorize(&scene, "ann", "a", "given");
    by(&scene, "mallory", "CREATE TABLE m.doc (id int PRIMARY KEY, body text)");
    let as_mallory = |sql: &str| format!("SET SESSION AUTHORIZATION mallory; {sql}");
    let hers = "SELECT name FROM ai._vectorizer WHERE source = 'm.doc'::regclass ORDER BY id";
    // A name that she chose: the error says so, and no id comes back.
    for more in ["", ", if_not_exists => true"] {
        let (code, said) = scene.cluster.refusal(&as_mallory(&make("name => 'given', ", more)));
        assert_eq!(
            (code.as_str(), said.as_str()),
            ("42710", "a vectorizer named given already exists.")
        );
        scene.cluster.execute("RESET SESSION AUTHORIZATION");
    }
    // One that was derived gets another, once.
    let made = scene.cluster.value(&as_mallory(&make("", ", if_not_exists => true")));
    let again = scene.cluster.value(&as_mallory(&make("", ", if_not_exists => true")));
    scene.cluster.execute("RESET SESSION AUTHORIZATION");
    assert_eq!(made, again);
    let names = scene.cluster.column(hers);
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].starts_with("m_doc_embedding_store_"), "{names:?}");
}

/// Vectorizers that she does not see do not exist for her, whatever she calls.
#[test]
fn what_a_role_does_not_see_does_not_exist_for_it() {
    let scene = lair();
    vectorize(&scene, "ann", "a", "honest");
    for call in [
        "drop_vectorizer({})",
        "vectorizer_embed({}, 'text')",
        "disable_vectorizer_schedule({})",
        "enable_vectorizer_schedule({})",
        "execute_vectorizer({})",
        "follow_replication({})",
        "retry_vectorizer({})",
        "verify_vectorizer({})",
        "vectorizer_queue_pending({})",
        "wait_for_vectorizer({})",
        "set_scheduling({})",
    ] {
        for which in ["1", "'honest'"] {
            if which == "1" && call.starts_with("wait") || which != "1" && call.starts_with("set") {
                continue;
            }
            let sql = call.replace("{}", which);
            let (code, said) = scene
                .cluster
                .refusal(&format!("SET SESSION AUTHORIZATION mallory; SELECT ai.{sql}"));
            assert_eq!(code, "42704", "{sql}: {said}");
            scene.cluster.execute("RESET SESSION AUTHORIZATION");
        }
    }
}

/// In the schema of the extension, only the extension chooses names.
#[test]
fn no_table_of_a_chosen_name_is_planted_in_the_schema_of_the_extension() {
    let scene = lair();
    by(&scene, "mallory", "CREATE TABLE m.doc (id int PRIMARY KEY, body text)");
    for table in ["vectorizer_cost", "_vectorizer_q_99", "_vectorizer_lease"] {
        let (code, _) = scene.cluster.refusal(&format!(
            "SET SESSION AUTHORIZATION mallory; {}",
            make("", &format!(", queue_schema => 'ai', queue_table => '{table}'"))
        ));
        assert_eq!(code, "42501", "{table}");
        scene.cluster.execute("RESET SESSION AUTHORIZATION");
    }
    by(
        &scene,
        "mallory",
        &make("name => 'mine', ", ", queue_table => 'vectorizer_cost'"),
    );
    let place = "SELECT queue_schema || '.' || queue_table FROM ai.vectorizer WHERE name = 'mine'";
    assert_eq!(scene.cluster.value(place), "m.vectorizer_cost");
    for sql in [
        "ALTER TABLE m.vectorizer_cost SET SCHEMA ai",
        "ALTER TABLE m.doc_embedding_store SET SCHEMA ai",
        "SELECT ai.create_vectorizer('m.doc', name => 'more', loading => ai.loading_column('body'),
             destination => ai.destination_table(target_schema => 'ai', target_table => 'planted', view_name => 'v'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
        "SELECT ai.create_vectorizer('m.doc', name => 'more', loading => ai.loading_column('body'),
             destination => ai.destination_table('more', view_schema => 'ai', view_name => 'planted'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    ] {
        let (code, said) = scene
            .cluster
            .refusal(&format!("SET SESSION AUTHORIZATION mallory; {sql}"));
        assert_eq!(code, "42501", "{sql}: {said}");
        scene.cluster.execute("RESET SESSION AUTHORIZATION");
    }
}

/// The extension may make tables in every tablespace, she may not.
#[test]
fn a_tablespace_of_others_is_not_filled() {
    let scene = lair();
    scene.cluster.execute("SET allow_in_place_tablespaces = on");
    let made = scene.cluster.try_rows("CREATE TABLESPACE fast LOCATION ''");
    assert!(made.is_ok(), "{made:?}");
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.doc (id int PRIMARY KEY, body text); CREATE TABLE m.part (id int PRIMARY KEY, body text) PARTITION BY RANGE (id)",
    );
    for table in ["doc", "part"] {
        let sql = make(
            &format!("destination => ai.destination_column('v_{table}'), chunking => ai.chunking_none(), "),
            "",
        )
        .replace("m.doc", &format!("m.{table}"));
        by(
            &scene,
            "mallory",
            &format!("SET default_tablespace = fast; {sql}; RESET default_tablespace"),
        );
    }
    let there = "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE t.spcname = 'fast'";
    assert_eq!(scene.cluster.column(there), [""; 0]);
}
