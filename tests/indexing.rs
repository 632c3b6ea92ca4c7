//! The index of a destination is built when it is due, by a process of its own, and nobody waits for it.

mod support;

use std::time::Duration;

use postgres::Client;
use support::{DEADLINE, Options, Scene, Stop, wait_until};

/// The index of the vectorizer with the number 1: access method, definition behind the table, and whether it is valid.
const INDEX: &str = "SELECT m.amname, CASE WHEN i.indisvalid THEN split_part(pg_get_indexdef(i.indexrelid), ' USING ', 2) END, i.indisvalid
                     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
                     WHERE m.amname = 'hnsw'";
const INDEXER: &str = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ai indexer'";

/// A scene whose worker looks again after a second.
fn scene() -> Scene {
    Scene::start_with(|options: Options| options.setting("ai.naptime", "1s"))
}

/// Makes the table `note` with so many rows and a vectorizer on it.
fn create_notes(scene: &Scene, rows: usize, indexing: &str) {
    scene
        .cluster
        .execute("CREATE TABLE note (id int PRIMARY KEY, body text)");
    add_notes(scene, 1, rows);
    create_vectorizer(scene, indexing);
}

fn create_vectorizer(scene: &Scene, indexing: &str) {
    scene.cluster.execute(&format!(
        "SELECT ai.create_vectorizer('note'::regclass, loading => ai.loading_column('body'),
                                     embedding => ai.embedding_openai('text-embedding-3-small', 8),
                                     indexing => {indexing})"
    ));
}

fn add_notes(scene: &Scene, first: usize, last: usize) {
    scene.cluster.execute(&format!(
        "INSERT INTO note SELECT n, 'Note number ' || n || '.' FROM generate_series({first}, {last}) AS n"
    ));
}

#[track_caller]
fn wait_for_index(scene: &Scene) -> Vec<String> {
    let look = || scene.cluster.rows(INDEX);
    let valid = |rows: &Vec<Vec<String>>| rows.len() == 1 && rows[0][2] == "t";
    wait_until("there is one valid index", DEADLINE, look, valid).swap_remove(0)
}

/// A session whose open transaction keeps an old snapshot, which every concurrent build waits for.
fn hold_snapshot(scene: &Scene) -> Client {
    let mut client = scene.cluster.connect().expect("a connection");
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class")
        .expect("a snapshot");
    client
}

/// Waits until the indexer waits for somebody's snapshot.
#[track_caller]
fn wait_until_held(scene: &Scene) {
    let activity = "SELECT coalesce(max(activity), '') FROM ai.worker_status WHERE process = 'indexer'";
    let waits = |seen: &String| seen.contains("waiting for");
    let seen = wait_until("the indexer waits", DEADLINE, || scene.cluster.value(activity), waits);
    assert!(seen.starts_with("index of public_note_embedding_store: "), "{seen}");
}

#[test]
fn an_index_is_built_from_min_rows_on() {
    let scene = scene();
    create_notes(
        &scene,
        4,
        "ai.indexing_hnsw(min_rows => 5, m => 8, ef_construction => 32)",
    );
    scene.cluster.wait_until_settled();
    // Whoever counted must have done so by the time that it has left.
    let worker = || scene.cluster.worker();
    wait_until("the worker has left", DEADLINE, worker, Option::is_none);
    assert_eq!(scene.cluster.rows(INDEX), Vec::<Vec<String>>::new());
    add_notes(&scene, 5, 5);
    let index = wait_for_index(&scene);
    assert_eq!(
        index[1],
        "hnsw (embedding vector_cosine_ops) WITH (m='8', ef_construction='32')"
    );
    scene.cluster.wait_for("the indexer has left", INDEXER, "0");

    // It stays the only one, and a dropped one comes back.
    add_notes(&scene, 6, 9);
    scene.cluster.wait_until_settled();
    wait_until("the worker has left", DEADLINE, worker, Option::is_none);
    wait_for_index(&scene);
    scene.cluster.execute("DROP INDEX _vectorizer_idx_1");
    add_notes(&scene, 10, 10);
    wait_for_index(&scene);
    assert_eq!(
        scene.cluster.rows("SELECT * FROM ai._vectorizer_errors"),
        Vec::<Vec<String>>::new()
    );
    // The index is valid a moment before its build is done with.
    let builds = "SELECT count(*) FROM ai._vectorizer_index";
    scene.cluster.wait_for("the build is over", builds, "0");
}

#[test]
fn a_build_that_waits_holds_up_neither_writers_nor_the_queue() {
    let scene = scene();
    let mut reader = hold_snapshot(&scene);
    create_notes(&scene, 3, "ai.indexing_hnsw(min_rows => 1)");
    wait_until_held(&scene);
    add_notes(&scene, 4, 6);
    scene
        .cluster
        .execute("DELETE FROM note WHERE id = 1; UPDATE note SET body = 'Another text.' WHERE id = 2");
    scene.cluster.wait_until_settled();
    assert_eq!(scene.cluster.value("SELECT count(*) FROM note_embedding_store"), "5");
    assert_eq!(
        scene.cluster.rows(INDEX).first().map(|row| row[2].clone()),
        Some("f".to_owned()),
        "the build is still under way"
    );
    assert_eq!(scene.cluster.value(INDEXER), "1");
    reader.batch_execute("ROLLBACK").expect("the transaction ends");
    wait_for_index(&scene);
    // What was written meanwhile is in it.
    let near = "SET enable_seqscan = off; SELECT id FROM note_embedding_store
                ORDER BY embedding <=> (SELECT embedding FROM note_embedding_store WHERE id = 6) LIMIT 1";
    assert_eq!(scene.cluster.value(near), "6");
}

#[test]
fn a_full_queue_comes_first_unless_told_otherwise() {
    let scene = scene();
    create_notes(&scene, 2, "ai.indexing_hnsw(min_rows => 0)");
    wait_for_index(&scene);
    scene.cluster.execute("SELECT ai.drop_vectorizer(1, drop_all => true)");
    scene.provider.behave(provider::Behaviour::Hang);
    create_vectorizer(&scene, "ai.indexing_hnsw(min_rows => 0)");
    let requests = || scene.provider.counts().in_flight;
    wait_until("the provider was asked", DEADLINE, requests, |requests| *requests > 0);
    let looked = scene.cluster.value("SELECT now()");
    let naps = format!("SELECT now() > timestamptz '{looked}' + interval '2 seconds'");
    scene.cluster.wait_for("two naptimes have passed", &naps, "t");
    assert_eq!(scene.cluster.rows(INDEX), Vec::<Vec<String>>::new());
    scene.cluster.execute(
        "SELECT ai.set_scheduling(2, indexing => ai.indexing_hnsw(min_rows => 0, create_when_queue_empty => false))",
    );
    wait_for_index(&scene);
    assert_eq!(scene.cluster.value("SELECT count(*) FROM note_embedding_store"), "0");
}

#[test]
fn the_index_of_a_column_is_on_the_source() {
    let scene = scene();
    scene.cluster.execute(
        "CREATE SCHEMA \"Odd Place\"; CREATE TABLE \"Odd Place\".\"Note\" (id int PRIMARY KEY, body text);
         INSERT INTO \"Odd Place\".\"Note\" VALUES (1, 'One.'), (2, 'Two.');
         SELECT ai.create_vectorizer('\"Odd Place\".\"Note\"'::regclass, name => 'odd',
             loading => ai.loading_column('body'), embedding => ai.embedding_openai('text-embedding-3-small', 8),
             chunking => ai.chunking_none(), destination => ai.destination_column('The Vector'),
             indexing => ai.indexing_hnsw(min_rows => 2, opclass => 'vector_l2_ops'))",
    );
    let index = wait_for_index(&scene);
    assert_eq!(index[1], "hnsw (\"The Vector\" vector_l2_ops)");
    let table =
        "SELECT indrelid::regclass FROM pg_index WHERE indexrelid = '\"Odd Place\"._vectorizer_idx_1'::regclass";
    assert_eq!(scene.cluster.value(table), "\"Odd Place\".\"Note\"");
}

#[test]
fn an_index_of_the_user_is_enough() {
    let scene = scene();
    create_notes(&scene, 2, "ai.indexing_none()");
    scene.cluster.wait_until_settled();
    scene
        .cluster
        .execute("CREATE INDEX mine ON note_embedding_store USING hnsw (embedding vector_ip_ops)");
    scene
        .cluster
        .execute("SELECT ai.set_scheduling(1, indexing => ai.indexing_hnsw(min_rows => 0))");
    add_notes(&scene, 3, 3);
    scene.cluster.wait_until_settled();
    wait_until(
        "the worker has left",
        DEADLINE,
        || scene.cluster.worker(),
        Option::is_none,
    );
    assert_eq!(scene.cluster.value(INDEXER), "0");
    assert_eq!(wait_for_index(&scene)[1], "hnsw (embedding vector_ip_ops)");
}

#[test]
fn an_index_that_the_user_is_building_is_waited_for() {
    let scene = scene();
    create_notes(&scene, 2, "ai.indexing_none()");
    scene.cluster.wait_until_settled();
    let mut reader = hold_snapshot(&scene);
    let mut builder = scene.cluster.connect().expect("a connection");
    let build = std::thread::spawn(move || {
        builder.batch_execute(
            "CREATE INDEX CONCURRENTLY mine ON note_embedding_store USING hnsw (embedding vector_l2_ops)",
        )
    });
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    scene.cluster.wait_for("the user's build is under way", invalid, "1");
    scene
        .cluster
        .execute("SELECT ai.set_scheduling(1, indexing => ai.indexing_hnsw(min_rows => 0))");
    // The worker looks when it reads the vectorizers, which it does before it takes this.
    add_notes(&scene, 3, 3);
    scene.cluster.wait_until_settled();
    assert_eq!(scene.cluster.value(INDEXER), "0");
    reader.batch_execute("ROLLBACK").expect("the transaction ends");
    build.join().expect("no panic").expect("the user's build succeeds");
    add_notes(&scene, 4, 4);
    scene.cluster.wait_until_settled();
    wait_until(
        "the worker has left",
        DEADLINE,
        || scene.cluster.worker(),
        Option::is_none,
    );
    assert_eq!(wait_for_index(&scene)[1], "hnsw (embedding vector_l2_ops)");
}

#[test]
fn what_a_failed_build_left_behind_is_replaced() {
    let scene = scene();
    create_notes(&scene, 2, "ai.indexing_none()");
    scene.cluster.wait_until_settled();
    // As Postgres leaves it: a build under our name that was cut short, and one of somebody else.
    for name in ["_vectorizer_idx_1", "mine"] {
        let (code, _) = {
            let reader = hold_snapshot(&scene);
            let cut_short = scene.cluster.connect().and_then(|mut client| {
                client.batch_execute("SET statement_timeout = '200ms'")?;
                client.batch_execute(&format!(
                    "CREATE INDEX CONCURRENTLY {name} ON note_embedding_store USING hnsw (embedding vector_l2_ops)"
                ))
            });
            drop(reader);
            let error = cut_short.expect_err("the build waits for the reader");
            let said = error.as_db_error().expect("the server says so");
            (said.code().code().to_owned(), said.message().to_owned())
        };
        assert_eq!(code, "57014");
    }
    assert_eq!(
        scene
            .cluster
            .column("SELECT count(*) FROM pg_index WHERE NOT indisvalid"),
        ["2"]
    );
    scene
        .cluster
        .execute("SELECT ai.set_scheduling(1, indexing => ai.indexing_hnsw(min_rows => 0))");
    let valid = "SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'note_embedding_store'::regclass
                 AND indisvalid AND indkey[0] = (SELECT attnum FROM pg_attribute
                     WHERE attrelid = 'note_embedding_store'::regclass AND attname = 'embedding')";
    let look = || scene.cluster.column(valid);
    wait_until("ours is valid", DEADLINE, look, |names| names == &["_vectorizer_idx_1"]);
    let invalid = "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid";
    assert_eq!(
        scene.cluster.column(invalid),
        ["mine"],
        "what is not ours is left alone"
    );
}

#[test]
fn an_owner_who_may_not_build_it_is_told_and_it_is_tried_again() {
    let scene = scene();
    scene.cluster.execute(
        "CREATE ROLE writer; CREATE SCHEMA library AUTHORIZATION writer;
         GRANT USAGE ON FOREIGN SERVER ai_openai TO writer; SET ROLE writer;
         CREATE TABLE library.note (id int PRIMARY KEY, body text); INSERT INTO library.note VALUES (1, 'One.');
         SELECT ai.create_vectorizer('library.note'::regclass, name => 'notes', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8), indexing => ai.indexing_none());
         RESET ROLE",
    );
    scene.cluster.wait_until_settled();
    scene.cluster.execute(
        "ALTER SCHEMA library OWNER TO postgres; GRANT USAGE ON SCHEMA library TO writer;
         SELECT ai.set_scheduling(1, indexing => ai.indexing_hnsw(min_rows => 1))",
    );
    let told =
        "SELECT message, step, failure_class, details->>'error_reason', details->>'hint' FROM ai.vectorizer_errors";
    let rows = wait_until(
        "the owner is told",
        DEADLINE,
        || scene.cluster.rows(told),
        |rows| !rows.is_empty(),
    );
    assert_eq!(
        rows,
        [[
            "indexing failed",
            "indexing",
            "configuration",
            "permission denied for schema library (SQLSTATE 42501)",
            "The owner of the source table must own the destination, and needs CREATE on its schema."
        ]]
    );
    let status = "SELECT vectorizer, state, reason FROM ai.worker_status WHERE process = 'indexer'";
    assert_eq!(
        scene.cluster.rows(status),
        [[
            "notes",
            "waiting",
            "permission denied for schema library (SQLSTATE 42501)"
        ]]
    );
    // Documents are embedded all the same, which does not take the reason away.
    scene.cluster.execute("INSERT INTO library.note VALUES (2, 'Two.')");
    scene.cluster.wait_until_settled();
    assert_eq!(scene.cluster.rows(told).len(), 1);
    // It has to wait, until somebody says that things have been mended.
    scene.cluster.execute("GRANT CREATE ON SCHEMA library TO writer");
    scene.cluster.reload();
    wait_for_index(&scene);
    let owner = "SELECT relowner::regrole FROM pg_class WHERE relname = '_vectorizer_idx_1'";
    assert_eq!(scene.cluster.value(owner), "writer");
    let look = || scene.cluster.rows(told);
    wait_until("the reason is gone", DEADLINE, look, Vec::is_empty);
}

#[test]
fn a_server_stops_during_a_build_and_builds_it_afterwards() {
    let mut scene = scene();
    let reader = hold_snapshot(&scene);
    create_notes(&scene, 3, "ai.indexing_hnsw(min_rows => 1)");
    wait_until_held(&scene);
    let took = scene.cluster.stop(Stop::Fast);
    assert!(took < Duration::from_secs(20), "{took:?}");
    drop(reader);
    scene.cluster.start_again();
    wait_for_index(&scene);
    assert_eq!(
        scene.cluster.rows("SELECT * FROM ai._vectorizer_errors"),
        Vec::<Vec<String>>::new(),
        "a stop is nobody's fault"
    );
}

#[test]
fn a_build_that_is_killed_waits_for_its_next_try() {
    let scene = scene();
    let reader = hold_snapshot(&scene);
    create_notes(&scene, 3, "ai.indexing_hnsw(min_rows => 1)");
    wait_until_held(&scene);
    scene
        .cluster
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'ai indexer'");
    let told = "SELECT details->>'error_reason' FROM ai.vectorizer_errors WHERE step = 'indexing'";
    let reasons = wait_until(
        "it is noted",
        DEADLINE,
        || scene.cluster.column(told),
        |told| !told.is_empty(),
    );
    assert_eq!(
        reasons,
        ["the process that built the index was ended before it was done"]
    );
    assert_eq!(scene.cluster.value(INDEXER), "0");
    drop(reader);
    scene.cluster.reload();
    wait_for_index(&scene);
}

#[test]
fn a_vectorizer_is_dropped_during_a_build() {
    let scene = scene();
    let reader = hold_snapshot(&scene);
    create_notes(&scene, 3, "ai.indexing_hnsw(min_rows => 1)");
    wait_until_held(&scene);
    // The embeddings stay; what the build has left behind does not.
    scene
        .cluster
        .execute("SET lock_timeout = '20s'; SELECT ai.drop_vectorizer(1)");
    scene.cluster.wait_for("the indexer has left", INDEXER, "0");
    assert_eq!(scene.cluster.rows(INDEX), Vec::<Vec<String>>::new());
    assert_eq!(scene.cluster.value("SELECT count(*) FROM note_embedding_store"), "3");
    scene
        .cluster
        .execute("DROP VIEW note_embedding; DROP TABLE note_embedding_store");

    create_vectorizer(&scene, "ai.indexing_hnsw(min_rows => 1)");
    wait_until_held(&scene);
    scene
        .cluster
        .execute("SET lock_timeout = '20s'; SELECT ai.drop_vectorizer(2, drop_all => true)");
    scene.cluster.wait_for("the indexer has left", INDEXER, "0");

    create_vectorizer(&scene, "ai.indexing_hnsw(min_rows => 1)");
    wait_until_held(&scene);
    scene
        .cluster
        .execute("SET lock_timeout = '20s'; DROP TABLE note CASCADE");
    scene.cluster.wait_for("the indexer has left", INDEXER, "0");
    assert_eq!(scene.cluster.value("SELECT count(*) FROM ai.vectorizer"), "0");
    assert_eq!(scene.cluster.rows(INDEX), Vec::<Vec<String>>::new());
    assert_eq!(scene.cluster.value("SELECT count(*) FROM note_embedding_store"), "3");
    drop(reader);
}

#[test]
fn the_extension_is_dropped_during_a_build() {
    let scene = scene();
    let reader = hold_snapshot(&scene);
    create_notes(&scene, 3, "ai.indexing_hnsw(min_rows => 1)");
    wait_until_held(&scene);
    scene
        .cluster
        .execute("SET lock_timeout = '20s'; DROP EXTENSION ai CASCADE");
    scene.cluster.wait_for("the indexer has left", INDEXER, "0");
    drop(reader);
}

#[test]
fn a_build_makes_way_for_who_wants_the_table_for_himself() {
    let scene = scene();
    let mut reader = hold_snapshot(&scene);
    create_notes(&scene, 3, "ai.indexing_hnsw(min_rows => 1)");
    wait_until_held(&scene);
    // Not TRUNCATE, which builds what is left of the index itself.
    scene
        .cluster
        .execute("SET lock_timeout = '20s'; ALTER TABLE note_embedding_store ADD COLUMN note text");
    let told = "SELECT failure_class, details->>'error_reason' FROM ai.vectorizer_errors";
    let look = || scene.cluster.rows(told);
    let rows = wait_until("the reason is told", DEADLINE, look, |rows| !rows.is_empty());
    let reason = "the build made way for a session that wanted the table alone, or was cancelled";
    assert_eq!(rows, [["transient", reason]]);
    reader.batch_execute("ROLLBACK").expect("the transaction ends");
    scene.cluster.reload();
    wait_for_index(&scene);
    wait_until("the reason is gone", DEADLINE, look, Vec::is_empty);
}

#[test]
fn a_large_index_is_built_in_parallel_for_an_owner_who_cannot_log_in() {
    let scene = Scene::start_with(|options: Options| {
        options
            .setting("ai.naptime", "1s")
            .setting("min_parallel_table_scan_size", "0")
            .setting("log_min_messages", "debug1")
    });
    scene.cluster.execute(
        "CREATE ROLE writer NOLOGIN; CREATE SCHEMA library AUTHORIZATION writer;
         GRANT USAGE ON FOREIGN SERVER ai_openai TO writer; SET ROLE writer;
         CREATE TABLE library.note (id int PRIMARY KEY, body text);
         INSERT INTO library.note SELECT n, 'Note ' || n FROM generate_series(1, 300) AS n;
         SELECT ai.create_vectorizer('library.note'::regclass, loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8),
             indexing => ai.indexing_hnsw(min_rows => 300));
         RESET ROLE",
    );
    wait_for_index(&scene);
    assert!(
        scene.cluster.log().contains("parallel workers"),
        "pgvector says how many it uses"
    );
}

#[test]
fn a_database_without_a_free_process_says_so() {
    let scene = Scene::start_with(|options: Options| {
        // The launcher, the worker, and the one that Postgres itself starts for subscriptions.
        options.setting("ai.naptime", "1s").setting("max_worker_processes", "3")
    });
    create_notes(&scene, 2, "ai.indexing_hnsw(min_rows => 1)");
    let reason = "SELECT coalesce(max(reason), '') FROM ai.worker_status WHERE process = 'indexer'";
    let expected = "the server has no process to spare for an index: raise max_worker_processes";
    scene.cluster.wait_for("the reason is told", reason, expected);
    add_notes(&scene, 3, 3);
    scene.cluster.wait_until_settled();
    assert_eq!(
        scene.cluster.rows("SELECT * FROM ai._vectorizer_errors"),
        Vec::<Vec<String>>::new()
    );
}

#[test]
fn an_index_that_pgvector_would_refuse_is_refused_at_once() {
    let scene = scene();
    scene
        .cluster
        .execute("CREATE TABLE note (id int PRIMARY KEY, body text)");
    let create = |dimensions: u32, indexing: &str| {
        format!(
            "SELECT ai.create_vectorizer('note'::regclass, loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-large', {dimensions}), indexing => {indexing})"
        )
    };
    let refused = scene.cluster.refusal(&create(2_001, "ai.indexing_hnsw()"));
    assert_eq!(
        refused,
        (
            "54000".to_owned(),
            "an HNSW index takes at most 2000 dimensions".to_owned()
        )
    );
    scene.cluster.execute(&create(2_000, "ai.indexing_hnsw()"));
    let stored = "SELECT config->'indexing'->>'implementation' FROM ai.vectorizer";
    assert_eq!(scene.cluster.value(stored), "hnsw");
}

/// pgvectorscale is in no registry that the tests can use. A stand-in has its name and pgvector's code: it takes the
/// statement that pgvectorscale would get, and says which of its options it does not know.
#[test]
fn diskann_is_asked_for_with_the_options_of_its_builder() {
    let scene = scene();
    scene.cluster.execute(
        "CREATE ACCESS METHOD diskann TYPE INDEX HANDLER hnswhandler;
         CREATE OPERATOR CLASS diskann_cosine_ops DEFAULT FOR TYPE vector USING diskann AS
             OPERATOR 1 <=> (vector, vector) FOR ORDER BY float_ops,
             FUNCTION 1 vector_negative_inner_product(vector, vector), FUNCTION 2 vector_norm(vector)",
    );
    create_notes(&scene, 5, "ai.indexing_diskann(min_rows => 5)");
    let built = "SELECT split_part(pg_get_indexdef(i.indexrelid), ' USING ', 2)
                 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
                 WHERE m.amname = 'diskann' AND i.indisvalid";
    let look = || scene.cluster.column(built);
    let indexes = wait_until("the index is built", DEADLINE, look, |found| !found.is_empty());
    assert_eq!(indexes, ["diskann (embedding)"]);
    let plan = "SET enable_seqscan = off; EXPLAIN SELECT id FROM note_embedding_store ORDER BY embedding <=> '[1,1,1,1,1,1,1,1]' LIMIT 1";
    let plan = scene.cluster.column(plan).join("\n");
    assert!(plan.contains("_vectorizer_idx_1"), "{plan}");

    let options = [
        ("storage_layout", "'memory_optimized'"),
        ("num_neighbors", "50"),
        ("search_list_size", "100"),
        ("max_alpha", "1.2"),
        ("num_dimensions", "4"),
        ("num_bits_per_dimension", "2"),
    ];
    for (option, value) in options {
        scene.cluster.execute(&format!(
            "SELECT ai.create_vectorizer('note', name => '{option}', destination => ai.destination_table('by_{option}'),
                 loading => ai.loading_column('body'), embedding => ai.embedding_openai('text-embedding-3-small', 8),
                 indexing => ai.indexing_diskann(min_rows => 0, {option} => {value}))"
        ));
    }
    let refused = "SELECT name || ': ' || (details ->> 'error_reason') FROM ai.vectorizer_errors WHERE step = 'indexing' ORDER BY 1";
    let look = || scene.cluster.column(refused);
    let mut expected =
        options.map(|(option, _)| format!("{option}: unrecognized parameter \"{option}\" (SQLSTATE 22023)"));
    expected.sort();
    let refusals = wait_until("all builds are refused", DEADLINE, look, |seen| {
        seen.len() == options.len()
    });
    assert_eq!(refusals, expected);
}
