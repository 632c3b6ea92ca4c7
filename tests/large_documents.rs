//! Documents that are too large to be embedded in one go: portion by portion, and visible all at once.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::time::{Duration, Instant};

use notes::{kill, queued, wait_for_no_worker};
use provider::Behaviour;
use support::Scene;

/// Vectors so long that a portion holds 341 of them.
const DIMENSIONS: usize = 3_072;
const PORTION: u64 = 341;
/// Three portions.
const LINES: usize = 800;

const STASH: &str = "SELECT count(*) FROM ai._vectorizer_stash";

/// A table with a vectorizer that makes a chunk of every line.
fn start() -> Scene {
    let scene = Scene::start_with(|options| {
        // What the worker touches of it counts as its memory.
        let options = options.setting("shared_buffers", "16MB");
        options.setting("ai.lease_duration", "2s")
    });
    scene
        .cluster
        .execute("CREATE TABLE note (id int PRIMARY KEY, body text)");
    scene.cluster.execute(&format!(
        "SELECT ai.create_vectorizer(
             'note'::regclass,
             loading => ai.loading_column('body'),
             chunking => ai.chunking_character_text_splitter(1, 0, E'\\n'),
             embedding => ai.embedding_openai('text-embedding-3-large', {DIMENSIONS})
         )"
    ));
    scene
}

fn body(word: &str) -> String {
    format!("(SELECT string_agg('{word} ' || i, E'\\n' ORDER BY i) FROM generate_series(1, {LINES}) i)")
}

/// How many chunks begin with a word, of how many, and whether their numbers have no gap.
fn chunks(scene: &Scene, word: &str) -> Vec<String> {
    let sql = format!(
        "SELECT count(*) FILTER (WHERE chunk = '{word} ' || chunk_seq + 1), count(*) FROM note_embedding_store"
    );
    scene.cluster.rows(&sql).remove(0)
}

fn all() -> Vec<String> {
    vec![LINES.to_string(), LINES.to_string()]
}

#[test]
fn a_large_document_is_embedded_in_portions() {
    let scene = start();
    scene
        .cluster
        .execute(&format!("INSERT INTO note SELECT 1, {}", body("line")));
    scene.cluster.wait_until_settled();
    assert_eq!(chunks(&scene, "line"), all());
    let inputs: Vec<usize> = scene
        .provider
        .seen()
        .iter()
        .map(|request| request.texts.len())
        .collect();
    assert_eq!(inputs, [341, 341, 118]);
    assert_eq!(scene.cluster.value(STASH), "0");
}

/// The most memory that a process has had, in MiB, with the shared memory that it has touched.
fn peak(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// 10,000 chunks have 117 MiB of vectors, of which 4 are in memory at a time, in some copies. As the texts repeat
/// themselves, the provider is asked for few.
#[test]
fn vectors_of_a_large_document_are_never_all_in_memory() {
    let scene = start();
    let worker = scene.cluster.wait_for_worker();
    let before = peak(worker);
    scene.cluster.execute(
        "INSERT INTO note SELECT 1, string_agg('line ' || i % 300, E'\\n' ORDER BY i) FROM generate_series(1, 10000) i",
    );
    scene.cluster.wait_until_settled();
    let written = "SELECT count(*) FROM note_embedding_store WHERE chunk = 'line ' || (chunk_seq + 1) % 300";
    assert_eq!(scene.cluster.value(written), "10000");
    assert_eq!(scene.provider.counts().inputs, 300);
    assert_eq!(scene.cluster.wait_for_worker(), worker);
    let grown = peak(worker) - before;
    assert!(grown < 80, "the worker grew by {grown} MiB");
}

/// The old chunks stay until all new ones are there, and what was paid for is not paid for again.
#[test]
fn a_killed_worker_loses_the_portion_in_flight() {
    let scene = start();
    scene
        .cluster
        .execute(&format!("INSERT INTO note SELECT 1, {}", body("old")));
    scene.cluster.wait_until_settled();
    scene.provider.reset();
    scene.provider.behave(Behaviour::Hang);
    scene.provider.behave_times(2, Behaviour::Well);
    scene
        .cluster
        .execute(&format!("UPDATE note SET body = {}", body("new")));
    scene
        .cluster
        .wait_for("two portions are paid for", STASH, &(2 * PORTION).to_string());
    assert_eq!(chunks(&scene, "old"), all());
    let worker = scene.cluster.wait_for_worker();
    kill(&scene.cluster, worker);
    scene.provider.reset();
    scene.cluster.wait_until_settled();
    assert_eq!(chunks(&scene, "new"), all());
    assert_eq!(scene.provider.counts().inputs, LINES as u64 - 2 * PORTION);
    assert_eq!(scene.cluster.value(STASH), "0");
}

#[test]
fn a_failure_between_portions_is_made_up_for() {
    let scene = start();
    scene.provider.behave_times(1, Behaviour::Well);
    scene.provider.behave_times(1, Behaviour::ServerError);
    scene
        .cluster
        .execute(&format!("INSERT INTO note SELECT 1, {}", body("line")));
    scene.cluster.wait_until_settled();
    assert_eq!(chunks(&scene, "line"), all());
    assert_eq!(scene.provider.counts().inputs, LINES as u64);
    assert_eq!(scene.cluster.value(STASH), "0");
}

#[test]
fn a_document_that_goes_takes_its_portions_along() {
    let scene = start();
    scene.provider.behave(Behaviour::Hang);
    scene.provider.behave_times(1, Behaviour::Well);
    scene
        .cluster
        .execute(&format!("INSERT INTO note SELECT 1, {}", body("line")));
    scene
        .cluster
        .wait_for("a portion is paid for", STASH, &PORTION.to_string());
    scene.cluster.execute("DELETE FROM note");
    assert_eq!(queued(&scene.cluster, 1, "item"), None);
    scene.provider.behave(Behaviour::Well);
    let worker = scene.cluster.wait_for_worker();
    kill(&scene.cluster, worker);
    scene.cluster.execute("INSERT INTO note VALUES (2, 'small')");
    scene.cluster.wait_until_settled();
    wait_for_no_worker(&scene.cluster);
    assert_eq!(scene.cluster.value(STASH), "0");
    assert_eq!(
        scene.cluster.column("SELECT chunk FROM note_embedding_store"),
        ["small"]
    );
}

/// Of documents that together are too large for the worker only some are read at a time.
#[test]
fn documents_wait_for_memory() {
    let scene = Scene::start_with(|options| options.setting("ai.max_memory", "16MB"));
    scene
        .cluster
        .execute("CREATE TABLE note (id int PRIMARY KEY, body text)");
    scene.cluster.execute(
        "SELECT ai.create_vectorizer(
             'note'::regclass,
             loading => ai.loading_column('body'),
             chunking => ai.chunking_character_text_splitter(1000, 0, E'\\n'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8)
         )",
    );
    // Four times their size is a third of the budget for the first, and more than all of it for the last.
    scene.cluster.execute(
        "INSERT INTO note
         SELECT i, (SELECT string_agg(i || repeat('x', 900) || l, E'\\n') FROM generate_series(1, 1000 * i) l)
         FROM generate_series(1, 4) i",
    );
    scene.cluster.wait_until_settled();
    let chunks = "SELECT id || ':' || count(*) FROM note_embedding_store GROUP BY id ORDER BY id";
    assert_eq!(scene.cluster.column(chunks), ["1:1000", "2:2000", "3:3000", "4:4000"]);
    assert_eq!(scene.cluster.column("SELECT count(*) FROM ai.vectorizer_errors"), ["0"]);
}

#[test]
fn a_large_document_that_goes_while_it_waits_leaves_nothing() {
    let scene = Scene::start_with(|options| options.setting("ai.max_memory", "16MB"));
    scene
        .cluster
        .execute("CREATE TABLE note (id int PRIMARY KEY, body bytea)");
    scene.cluster.execute(
        "SELECT ai.create_vectorizer(
             'note'::regclass,
             loading => ai.loading_column('body'),
             chunking => ai.chunking_character_text_splitter(1000, 0, E'\\n'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8)
         )",
    );
    scene.provider.behave(Behaviour::Hang);
    let lines =
        "(SELECT convert_to(string_agg(repeat('x', 900) || l, E'\\n'), 'UTF8') FROM generate_series(1, 4000) l)";
    scene.cluster.execute(&format!(
        "INSERT INTO note SELECT i, {lines} FROM generate_series(1, 2) i"
    ));
    scene.cluster.wait_for(
        "one has all the memory, the other waits",
        "SELECT count(*) FROM ai._vectorizer_q_1 WHERE lease IS NOT NULL",
        "2",
    );
    scene.cluster.execute("DELETE FROM note");
    scene.provider.behave(Behaviour::Well);
    let worker = scene.cluster.wait_for_worker();
    kill(&scene.cluster, worker);
    scene.cluster.execute("INSERT INTO note VALUES (3, 'small')");
    scene.cluster.wait_until_settled();
    assert_eq!(scene.cluster.column("SELECT id FROM note_embedding_store"), ["3"]);
}

/// A table and a vectorizer whose worker has little memory, and what that worker has had at most until now.
fn start_with_little_memory(splits_at: &str, template: &str) -> (Scene, i32, u64) {
    let scene = Scene::start_with(|options| {
        let options = options.setting("shared_buffers", "16MB");
        options.setting("ai.max_memory", "16MB")
    });
    scene
        .cluster
        .execute("CREATE TABLE note (id int PRIMARY KEY, body text, words text)");
    scene.cluster.execute(&format!(
        "SELECT ai.create_vectorizer(
             'note'::regclass,
             loading => ai.loading_column('body'),
             chunking => ai.chunking_character_text_splitter(1, 0, '{splits_at}'),
             formatting => ai.formatting_python_template('{template}'),
             embedding => ai.embedding_openai('one-that-takes-all', 8)
         )"
    ));
    let worker = scene.cluster.wait_for_worker();
    let before = peak(worker);
    (scene, worker, before)
}

/// One claim takes 256 documents: together they are 64 MB, and the worker has a quarter of that for all that it does.
#[test]
fn documents_of_one_claim_are_read_as_there_is_memory() {
    let (scene, worker, before) = start_with_little_memory("|", "$chunk");
    scene
        .cluster
        .execute("INSERT INTO note SELECT i, i || repeat(' word of a document', 13000) FROM generate_series(1, 300) i");
    scene.cluster.wait_until_settled();
    assert_eq!(scene.cluster.wait_for_worker(), worker);
    let grown = peak(worker) - before;
    let written = "SELECT count(DISTINCT id) FROM note_embedding_store WHERE length(chunk) > 247000";
    assert_eq!(scene.cluster.value(written), "300");
    assert!(grown < 60, "the worker grew by {grown} MiB");
}

/// 300 chunks in a template with a column of 200 kB are texts of 60 MB, each of which is made when it is sent
/// or written.
#[test]
fn texts_with_a_large_column_are_never_all_in_memory() {
    let (scene, worker, before) = start_with_little_memory(" ", "$chunk $words");
    scene.cluster.execute(
        "INSERT INTO note
         SELECT 1, string_agg(i::text, ' ' ORDER BY i), repeat('word ', 40000) FROM generate_series(1, 300) i",
    );
    scene.cluster.wait_until_settled();
    assert_eq!(scene.cluster.wait_for_worker(), worker);
    let grown = peak(worker) - before;
    let written = "SELECT count(*) FROM note_embedding_store WHERE length(chunk) > 200000";
    assert_eq!(scene.cluster.value(written), "300");
    assert!(grown < 60, "the worker grew by {grown} MiB");
}

#[test]
fn columns_that_are_longer_than_a_document_may_be_fail_it_alone() {
    let scene = Scene::start_with(|options| options.setting("ai.max_document_size", "1MB"));
    scene
        .cluster
        .execute("CREATE TABLE note (id int PRIMARY KEY, body text, words text, price numeric)");
    scene.cluster.execute(
        "SELECT ai.create_vectorizer(
             'note'::regclass,
             loading => ai.loading_column('body'),
             formatting => ai.formatting_python_template('$words $price: $chunk'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8)
         )",
    );
    scene.cluster.execute(
        "INSERT INTO note VALUES (1, 'tea', repeat('w', 1048570), 1.50), (2, 'tea', 'two', 2), (3, 'tea', repeat('w', 1048576), 3.25),
             (4, NULL, repeat('w', 2000000), 4), (5, '', NULL, NULL)",
    );
    scene.cluster.wait_until_settled();
    let chunks = "SELECT id || right(chunk, 11) FROM note_embedding_store ORDER BY id";
    assert_eq!(scene.cluster.column(chunks), ["1w 1.50: tea", "2two 2: tea"]);
    let failed = "SELECT primary_key ->> 'id', step, failure_class, details ->> 'error_reason' FROM ai.vectorizer_errors WHERE failure_class <> 'cut'";
    let reason = "the columns that the template names have 1048580 bytes, more than 1048576";
    assert_eq!(scene.cluster.rows(failed), [["3", "formatting", "permanent", reason]]);
}

/// Texts of nearly a gigabyte are made of a row of 200 KB: whether chunks are equal or not, to tell them
/// apart holds up no other. The provider refuses them, or they would all be written.
#[test]
fn long_texts_of_many_chunks_hold_up_no_other() {
    let scene = Scene::start();
    scene.cluster.execute(
        "CREATE TABLE long (id int PRIMARY KEY, body text, c text);
         SELECT ai.create_vectorizer('long'::regclass, loading => ai.loading_column('body'),
             formatting => ai.formatting_python_template('$c $chunk'),
             chunking => ai.chunking_character_text_splitter(1, 0, ' '),
             embedding => ai.embedding_openai('text-embedding-3-small', 8));
         CREATE TABLE short (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('short'::regclass, loading => ai.loading_column('body'),
             chunking => ai.chunking_none(), embedding => ai.embedding_openai('text-embedding-3-small', 8));
         INSERT INTO short VALUES (0, 'before')",
    );
    scene.cluster.wait_until_settled();
    scene.provider.behave(Behaviour::RejectInput("yyyy".to_owned()));
    for (number, body) in [
        (1, "repeat('x ', 95000)"),
        (2, "(SELECT string_agg(i::text, ' ') FROM generate_series(1, 20000) i)"),
    ] {
        scene
            .cluster
            .execute(&format!("INSERT INTO long SELECT {number}, {body}, repeat('y', 10000)"));
        let failed = format!("SELECT count(*) FROM ai.vectorizer_failed WHERE primary_key->>'id' = '{number}'");
        let mut id = number * 1000;
        while scene.cluster.value(&failed) == "0" {
            id += 1;
            let started = Instant::now();
            scene
                .cluster
                .execute(&format!("INSERT INTO short VALUES ({id}, 'short {id}')"));
            let there = format!("SELECT count(*) FROM short_embedding_store WHERE id = {id}");
            scene.cluster.wait_for("it is embedded", &there, "1");
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "{body}: {:?}",
                started.elapsed()
            );
        }
    }
}
