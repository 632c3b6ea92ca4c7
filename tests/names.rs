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

/// A table's indexes may be called anything without a right to create, where they belong to constraints: in
/// the schema of the extension that would be planting.
#[test]
fn what_lies_in_the_schema_of_the_extension_keeps_its_names() {
    let scene = lair();
    vectorize(&scene, "mallory", "m", "doc");
    let renames = [
        "ALTER TABLE ai._vectorizer_q_1 RENAME CONSTRAINT _vectorizer_q_1_pkey TO _vectorizer_q_2",
        "ALTER TABLE ai._vectorizer_q_1 RENAME CONSTRAINT _vectorizer_q_1_item_key TO vectorizer_cost",
        "ALTER TABLE ai._vectorizer_q_failed_1 RENAME CONSTRAINT _vectorizer_q_failed_1_pkey TO _vectorizer_intake_2",
        "ALTER TABLE ai._vectorizer_q_1 ADD CONSTRAINT _vectorizer_q_2 UNIQUE (lease)",
        "ALTER TABLE ai._vectorizer_q_1 ADD another serial",
        "ALTER INDEX ai._vectorizer_q_1_pkey RENAME TO _vectorizer_q_2",
        "ALTER TABLE ai._vectorizer_q_1 RENAME TO _vectorizer_q_2",
        "CREATE INDEX _vectorizer_q_2 ON ai._vectorizer_q_1 (lease)",
    ];
    for sql in renames {
        let (code, said) = scene
            .cluster
            .refusal(&format!("SET SESSION AUTHORIZATION mallory; {sql}"));
        assert_eq!(code, "42501", "{sql}: {said}");
        scene.cluster.execute("RESET SESSION AUTHORIZATION");
    }
    // Their own names are theirs, and so is what lies elsewhere.
    by(
        &scene,
        "mallory",
        "ALTER TABLE m.doc_embedding_store RENAME CONSTRAINT doc_embedding_store_pkey TO a_key;
         ALTER TABLE ai._vectorizer_q_1 RENAME CONSTRAINT _vectorizer_q_1_pkey TO _vectorizer_q_1_key",
    );
    vectorize(&scene, "ann", "a", "honest");
}

/// Names that the extension chooses itself, it chooses again: for each part, and wherever the queue is.
#[test]
fn a_number_whose_names_are_taken_is_passed_over() {
    let scene = lair();
    scene.cluster.execute(
        "CREATE SCHEMA shared; GRANT ALL ON SCHEMA shared TO PUBLIC;
         -- As version 0.1.0 let an owner rename it.
         CREATE TABLE ai.planted (x int CONSTRAINT _vectorizer_q_1 PRIMARY KEY)",
    );
    by(
        &scene,
        "mallory",
        "CREATE TABLE shared._vectorizer_q_failed_3 (x int); CREATE VIEW shared._vectorizer_q_4 AS SELECT;
         CREATE SEQUENCE shared._vectorizer_intake_5;
         CREATE FUNCTION shared._vectorizer_src_trg_6() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    );
    vectorize(&scene, "ann", "a", "honest");
    by(
        &scene,
        "ann",
        "CREATE TABLE a.more (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('a.more', name => 'more', loading => ai.loading_column('body'), queue_schema => 'shared',
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
    let numbers = "SELECT string_agg(name || id, ',' ORDER BY id) FROM ai._vectorizer";
    assert_eq!(scene.cluster.value(numbers), "honest2,more7");
}

/// A name that is not committed yet is no reason to wait for as long as its transaction pleases.
#[test]
fn a_name_in_an_open_transaction_turns_no_migration_off() {
    let scene = lair();
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.squat (id int PRIMARY KEY, body text); CREATE TABLE m.given (id int PRIMARY KEY, body text)",
    );
    let mut held = scene.cluster.connect().expect("mallory connects");
    held.batch_execute("SET SESSION AUTHORIZATION mallory; BEGIN").unwrap();
    for (table, name) in [("squat", "a_doc_embedding_store"), ("given", "given")] {
        let named = make(&format!("name => '{name}', "), "").replace("m.doc", &format!("m.{table}"));
        held.batch_execute(&named).unwrap();
    }
    by(&scene, "ann", "CREATE TABLE a.doc (id int PRIMARY KEY, body text)");
    // Derived, it gets another.
    let derived = make("", "").replace("m.doc", "a.doc");
    by(
        &scene,
        "ann",
        &format!("SET statement_timeout = '5s'; {derived}; RESET statement_timeout"),
    );
    let hers = "SELECT name FROM ai._vectorizer";
    let name = scene.cluster.value(hers);
    assert!(name.starts_with("a_doc_embedding_store_"), "{name}");
    // Chosen, it is refused, and nothing is left.
    let given = make("name => 'given', destination => ai.destination_table('more'), ", "").replace("m.doc", "a.doc");
    let (code, said) = scene.cluster.refusal(&format!(
        "SET SESSION AUTHORIZATION ann; SET statement_timeout = '20s'; {given}"
    ));
    assert_eq!(code, "55P03", "{said}");
    scene
        .cluster
        .execute("RESET SESSION AUTHORIZATION; RESET statement_timeout");
    held.batch_execute("ROLLBACK").unwrap();
    by(&scene, "ann", &given);
    // A session that waits for itself does not.
    assert_eq!(scene.cluster.value("SELECT count(*) FROM ai._vectorizer"), "2");
}
