//! Places for what sessions do beside the worker: all have as many together, and none is kept by who does nothing.

mod support;

use postgres::Client;
use support::Scene;
use support::lair::{by, lair};

/// A role's vectorizer, whose chunks are all wrong.
fn wrong(scene: &Scene, role: &str, schema: &str, rows: u32) {
    by(
        scene,
        role,
        &format!(
            "CREATE TABLE {schema}.doc (id int PRIMARY KEY, body text);
             SELECT ai.create_vectorizer('{schema}.doc', name => '{schema}_docs', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 4), enqueue_existing => false);
             SELECT ai.disable_vectorizer_schedule('{schema}_docs');
             ALTER TABLE {schema}.doc DISABLE TRIGGER ALL;
             INSERT INTO {schema}.doc SELECT g, 'text ' || g FROM generate_series(1, {rows}) g"
        ),
    );
}

fn session(scene: &Scene, role: &str, sql: &str) -> Client {
    let mut session = scene.cluster.connect().expect("another session");
    session
        .batch_execute(&format!("SET SESSION AUTHORIZATION {role}; {sql}"))
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    session
}

/// Nobody waits for cursors that are not gone on with, of however many roles.
#[test]
fn an_idle_cursor_keeps_nobody_from_verifying() {
    let scene = lair();
    scene.cluster.execute("CREATE ROLE other LOGIN; CREATE SCHEMA o AUTHORIZATION other; GRANT USAGE ON FOREIGN SERVER ai_openai TO other");
    for (role, schema) in [("mallory", "m"), ("other", "o"), ("ann", "a")] {
        wrong(&scene, role, schema, 40);
    }
    let idle = "BEGIN; DECLARE c CURSOR FOR SELECT ai._verify_vectorizer(id, false) FROM ai.vectorizer; FETCH 1 FROM c";
    let mut sessions: Vec<Client> = ["mallory", "mallory", "other", "other"]
        .iter()
        .map(|role| session(&scene, role, idle))
        .collect();
    // A second one of the same role, too.
    let verify = "SET statement_timeout = '20s'; SELECT count(*) FROM ai.verify_vectorizer(";
    let mut ann = session(&scene, "ann", "SET statement_timeout = '20s'");
    let found = ann.query_one("SELECT count(*) FROM ai.verify_vectorizer('a_docs')", &[]);
    assert_eq!(
        found
            .unwrap_or_else(|error| panic!("{verify}: {error}"))
            .get::<_, i64>(0),
        40
    );
    // They find all the same what is there.
    for session in &mut sessions {
        let rest = session.query("FETCH ALL FROM c", &[]).expect("the rest");
        assert_eq!(rest.len(), 39);
    }
    assert_eq!(
        scene
            .cluster
            .value("SELECT count(*) FROM pg_locks WHERE locktype = 'userlock'"),
        "0"
    );
}

/// However many sessions a role has that cut for a minute each: a place is another's.
#[test]
fn sessions_of_one_role_leave_a_place_to_cut_to_others() {
    let scene = lair();
    let slow = "SELECT count(*) FROM ai.chunk_text(repeat('a', 8000000), 100, 10, '(?:a|aa){18}(?=c)|a', true)";
    let busy: Vec<_> = (0..4)
        .map(|_| {
            let mut session = session(&scene, "mallory", "SET statement_timeout = '50s'");
            std::thread::spawn(move || session.batch_execute(slow).is_err())
        })
        .collect();
    let waits = "SELECT count(*) >= 2 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE locktype = 'userlock' AND NOT granted";
    scene.cluster.wait_for("the others wait", waits, "t");
    let mut ann = session(&scene, "ann", "SET statement_timeout = '20s'");
    for _ in 0..3 {
        let cut = ann.query_one(
            "SELECT count(*) FROM ai.chunk_text('hello world', 100, 10, '[ ]+', true)",
            &[],
        );
        assert_eq!(cut.expect("ann has a place").get::<_, i64>(0), 1);
    }
    ann.batch_execute(
        "CREATE TABLE a.doc (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('a.doc', name => 'doc', loading => ai.loading_column('body'),
             chunking => ai.chunking_character_text_splitter(100, 10, '[ ]+', true),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    )
    .expect("the expression is checked");
    scene.cluster.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mallory' OR query LIKE '%8000000%' AND pid <> pg_backend_pid()");
    assert!(busy.into_iter().all(|session| session.join().expect("it ends")));
}
