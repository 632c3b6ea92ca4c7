//! Partitions that are attached while a vectorizer is made on the whole.

mod support;

use support::Scene;

/// The transaction that attaches began first, and commits last.
#[test]
fn a_partition_that_is_being_attached_is_a_part_of_the_new_vectorizer() {
    let scene = Scene::start();
    scene.cluster.execute(
        "CREATE TABLE doc (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
         CREATE TABLE doc_1 PARTITION OF doc FOR VALUES FROM (0) TO (10);
         CREATE TABLE doc_2 (id int PRIMARY KEY, body text);
         INSERT INTO doc VALUES (1, 'one');
         INSERT INTO doc_2 VALUES (11, 'eleven')",
    );
    let mut attaching = scene.cluster.connect().expect("the server takes connections");
    let mut open = attaching.transaction().expect("a transaction begins");
    open.batch_execute("ALTER TABLE doc ATTACH PARTITION doc_2 FOR VALUES FROM (10) TO (20)")
        .expect("it is attached");
    std::thread::scope(|threads| {
        let making = threads.spawn(|| {
            let mut making = scene.cluster.connect().expect("the server takes connections");
            making.batch_execute(
                "SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'),
                     embedding => ai.embedding_openai('text-embedding-3-small', 4))",
            )
        });
        let waiting = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'doc'::regclass";
        scene.cluster.wait_for("it waits for the partition", waiting, "t");
        open.commit().expect("it is attached");
        making.join().expect("no panic").expect("the vectorizer is made");
    });
    let embedded = "SELECT count(*) FROM doc_embedding_store";
    scene.cluster.wait_for("both parts are embedded", embedded, "2");
    scene.cluster.execute("INSERT INTO doc_2 VALUES (12, 'twelve')");
    scene
        .cluster
        .wait_for("what is written to it is embedded", embedded, "3");
    // Postgres copies no such trigger to a part.
    scene.cluster.execute("TRUNCATE doc_2");
    scene.cluster.wait_for("its chunks are gone", embedded, "1");
}
