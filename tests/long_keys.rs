//! Primary keys of hundreds of kilobytes, which an index takes as they compress well.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::time::{Duration, Instant};

use notes::Notes;
use support::{DEADLINE, Database, wait_until};

/// What a row of another vectorizer may take meanwhile, on a machine that does much else as well.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// What a worker may take beyond ai.max_memory: its program, and what it shares with all.
const BESIDE: u64 = 160 << 20;

fn vectorize(database: &Database, table: &str, key: &str) {
    database.execute(&format!(
        "CREATE TABLE {table} (key {key} PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('{table}', name => '{table}', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8), chunking => ai.chunking_none())"
    ));
}

/// Most memory that a process has had, in bytes.
fn greatest_memory(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes << 10)
}

/// A thousand of them stand in nobody's way, and in the memory of nobody.
#[test]
fn long_keys_hold_nobody_up() {
    let notes = Notes::start_with(|options| options.setting("ai.max_memory", "64MB"));
    let cluster = &notes.cluster;
    vectorize(cluster, "long", "text");
    let long = 1000;
    cluster.execute(&format!(
        "INSERT INTO long SELECT repeat('a', 200000) || g, 'body ' || g FROM generate_series(1, {long}) g"
    ));
    let pending = "SELECT count(*) FROM long_embedding_store";
    let (mut worst, mut greatest, began, mut id) = (Duration::ZERO, 0, Instant::now(), 0);
    while cluster.value(pending) != long.to_string() {
        assert!(
            began.elapsed() < 4 * DEADLINE,
            "{} are embedded",
            cluster.value(pending)
        );
        id += 1;
        notes::add(cluster, id, "another");
        let committed = Instant::now();
        let there = format!("SELECT count(*) FROM note_embedding_store WHERE id = {id}");
        cluster.wait_for("the other row is embedded", &there, "1");
        worst = worst.max(committed.elapsed());
        greatest = greatest.max(cluster.worker().and_then(greatest_memory).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(50));
    }
    println!(
        "{:?}: {id} rows beside, {worst:?} at most, {} MB",
        began.elapsed(),
        greatest >> 20
    );
    assert!(id > 5, "there were rows beside");
    assert!(worst < LONGEST_WAIT, "a row beside waited for {worst:?}");
    assert!(greatest < (64 << 20) + BESIDE, "the worker took {} MB", greatest >> 20);
    // All of them once more, and away.
    cluster.execute("UPDATE long SET body = 'new' || body WHERE key LIKE '%1'");
    let new = "SELECT count(*) FROM long_embedding_store WHERE chunk LIKE 'new%'";
    wait_until(
        "the changed are embedded",
        2 * DEADLINE,
        || cluster.value(new),
        |seen| seen == "100",
    );
    cluster.execute("DELETE FROM long WHERE key LIKE '%1'");
    assert_eq!(cluster.value(pending), "900");
    cluster.wait_until_settled();
    // A look at them, which holds no more of them at a time than others.
    cluster.execute("DELETE FROM long_embedding_store WHERE key LIKE '%2'");
    let missing = "SELECT count(*) FROM ai.verify_vectorizer('long', repair => true) WHERE problem = 'missing'";
    assert_eq!(cluster.value(missing), "100");
    wait_until(
        "they are repaired",
        2 * DEADLINE,
        || cluster.value(pending),
        |seen| seen == "900",
    );
}

/// Keys that another way of compression makes small enough for an index, and keys of other types.
#[test]
fn keys_are_as_long_as_their_types_let_them_be() {
    let notes = Notes::start();
    let cluster = &notes.cluster;
    vectorize(cluster, "lz4", "text COMPRESSION lz4");
    vectorize(cluster, "bytes", "bytea");
    vectorize(cluster, "list", "int[]");
    vectorize(cluster, "json", "jsonb");
    cluster.execute(
        "INSERT INTO lz4 SELECT repeat('a', 600000) || g, 'body' FROM generate_series(1, 20) g;
         INSERT INTO bytes SELECT convert_to(repeat('a', 200000) || g, 'UTF8'), 'body' FROM generate_series(1, 20) g;
         INSERT INTO list SELECT array_fill(g, ARRAY[20000]), 'body' FROM generate_series(1, 20) g;
         INSERT INTO json SELECT to_jsonb(repeat('a', 200000) || g), 'body' FROM generate_series(1, 20) g",
    );
    for table in ["lz4", "bytes", "list", "json"] {
        let stored = format!("SELECT count(*) FROM {table}_embedding_store");
        wait_until(table, 2 * DEADLINE, || cluster.value(&stored), |seen| seen == "20");
    }
    cluster.wait_until_settled();
    assert_eq!(notes::errors(cluster), notes::NONE);
}

/// One that the destination's index refuses is named, and the others are embedded.
#[test]
fn a_key_that_no_index_holds_is_named() {
    let notes = Notes::start();
    let cluster = &notes.cluster;
    vectorize(cluster, "doc", "text");
    // As it lies in the queue of an owner who has it stored otherwise.
    cluster.execute(
        "ALTER TABLE ai._vectorizer_q_2 ALTER key SET STORAGE EXTERNAL;
         CREATE FUNCTION open() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.key := NEW.key || ''b''; RETURN NEW; END';
         CREATE TRIGGER open BEFORE INSERT ON ai._vectorizer_q_2 FOR EACH ROW WHEN (length(NEW.key) > 100) EXECUTE FUNCTION open();
         INSERT INTO doc SELECT repeat('a', 200000) || g, 'long' FROM generate_series(1, 3) g;
         INSERT INTO doc VALUES ('short', 'short')",
    );
    let stored = "SELECT string_agg(chunk, ' ') FROM doc_embedding_store";
    cluster.wait_for("the other is embedded", stored, "short");
    let named = "SELECT count(*) FROM ai.vectorizer_errors WHERE details ->> 'error_reason' LIKE 'index row %'";
    cluster.wait_for("it says so", named, "3");
}
