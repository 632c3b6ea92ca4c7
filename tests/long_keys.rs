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

/// Hundreds of them stand in nobody's way, and do not fill the memory.
#[test]
fn long_keys_hold_nobody_up() {
    let notes = Notes::start_with(|options| options.setting("ai.max_memory", "64MB"));
    let cluster = &notes.cluster;
    vectorize(cluster, "long", "text");
    let long = 400;
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
        |seen| seen == "40",
    );
    cluster.execute("DELETE FROM long WHERE key LIKE '%1'");
    assert_eq!(cluster.value(pending), "360");
    cluster.wait_until_settled();
    // A look at them, which holds no more of them at a time than others.
    cluster.execute("DELETE FROM long_embedding_store WHERE key LIKE '%2'");
    let missing = "SELECT count(*) FROM ai.verify_vectorizer('long', repair => true) WHERE problem = 'missing'";
    assert_eq!(cluster.value(missing), "40");
    wait_until(
        "they are repaired",
        2 * DEADLINE,
        || cluster.value(pending),
        |seen| seen == "360",
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

/// Keys that fit into the index of the source and not into that of the queue are named, and the others are embedded:
/// also those that come later.
#[test]
fn a_key_that_no_index_of_ours_holds_is_in_nobodys_way() {
    let notes = Notes::start();
    let cluster = &notes.cluster;
    vectorize(cluster, "doc", "text");
    cluster.execute(
        "ALTER TABLE doc ALTER key SET COMPRESSION lz4;
         INSERT INTO doc SELECT repeat('a', 600000) || g, 'long' FROM generate_series(1, 3) g;
         INSERT INTO doc SELECT 'short ' || g, 'short' FROM generate_series(1, 30) g;
         INSERT INTO doc VALUES (repeat('b', 600000), 'long')",
    );
    let stored = "SELECT count(*) FROM doc_embedding_store";
    cluster.wait_for("the others are embedded", stored, "30");
    let named = "SELECT count(*) FROM ai.vectorizer_errors
                 WHERE details ->> 'error_reason' LIKE 'index row size %' AND details ->> 'hint' LIKE '%shorten the primary key%'";
    cluster.wait_for("it says so", named, "4");
    cluster.execute("INSERT INTO doc VALUES ('another', 'short')");
    cluster.wait_for("the next is embedded", stored, "31");
    // Also while the vectorizer is disabled, when only the intake is emptied.
    cluster.execute("SELECT ai.disable_vectorizer_schedule('doc'); INSERT INTO doc VALUES (repeat('c', 600000), 'long'), ('last', 'short')");
    cluster.wait_for("it is in the queue", "SELECT count(*) FROM ai._vectorizer_q_2", "1");
    cluster.execute("SELECT ai.enable_vectorizer_schedule('doc')");
    cluster.wait_for("the last is embedded", stored, "32");
    // What is gone is forgotten when there is something to do.
    cluster.execute("DELETE FROM doc WHERE body = 'long'");
    let number = |number: u32| format!("INSERT INTO doc VALUES ('{number}', 'short')");
    let mut next = 0;
    let look = || {
        next += 1;
        cluster.execute(&number(next));
        notes::errors(cluster)
    };
    wait_until("the errors are forgotten", DEADLINE, look, |errors| {
        *errors == notes::NONE
    });
    cluster.wait_until_settled();
}
