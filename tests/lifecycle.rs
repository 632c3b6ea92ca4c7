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
