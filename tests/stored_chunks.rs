//! What is stored of a document is read in bounded memory, however much of it others have stored.

mod support;

use std::fs;

use support::{DEADLINE, Database, Scene, wait_until};

/// The most that a process has had in memory since it began, in megabytes.
fn peak(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("Linux says it");
    let kilobytes: u64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("a number");
    kilobytes / 1024
}

fn create(database: &Database) {
    database.execute(
        "CREATE TABLE doc (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
             embedding => ai.embedding_openai('text-embedding-3-small', 8));
         CREATE TABLE fine (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('fine', name => 'fine', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8));
         INSERT INTO doc SELECT n, 'one' FROM generate_series(1, 4) n",
    );
    database.wait_until_settled();
}

#[test]
fn millions_of_forged_chunks_fail_their_document_by_name() {
    // Room for 16,384 of them.
    let scene = Scene::start_with(|options| options.setting("ai.max_memory", "16MB"));
    let cluster = &scene.cluster;
    create(cluster);
    let forge = |id: u32, chunks: u32| {
        cluster.execute(&format!(
            "INSERT INTO doc_embedding_store (id, chunk_seq, chunk, embedding)
             SELECT {id}, g, 'c', '[1,1,1,1,1,1,1,1]' FROM generate_series(1, {chunks}) g"
        ));
    };
    forge(1, 20_000);
    forge(2, 10_000);
    forge(3, 10_000);
    let verified = "SELECT problem || ': ' || detail FROM ai.verify_vectorizer('doc') WHERE primary_key ->> 'id' = '1'";
    let expected = "more than 16384 chunks of it are stored";
    let found = cluster.value(verified);
    assert!(found.starts_with("unexpected: ") && found.contains(expected), "{found}");
    cluster.execute("UPDATE doc SET body = 'two'; INSERT INTO fine VALUES (1, 'one')");
    let failed = "SELECT coalesce(string_agg(primary_key ->> 'id' || ' ' || (details ->> 'error_reason'), ', '), '') FROM ai.vectorizer_errors";
    let failed = wait_until(
        "it fails by name",
        DEADLINE,
        || cluster.value(failed),
        |failed| failed.contains(expected),
    );
    assert!(failed.starts_with("1 "), "{failed}");
    cluster.wait_until_settled();
    // Those that there is room for are written, if not at the same time; and so are others.
    let written = "SELECT string_agg(id || ' ' || chunk, ', ' ORDER BY id) FROM doc_embedding_store WHERE id <> 1";
    assert_eq!(cluster.value(written), "2 two, 3 two, 4 two");
    assert_eq!(cluster.value("SELECT count(*) FROM fine_embedding_store"), "1");
    // As the hint says.
    cluster
        .execute("DELETE FROM doc_embedding_store WHERE id = 1 AND chunk_seq > 100; SELECT ai.retry_vectorizer('doc')");
    cluster.wait_for(
        "mended",
        "SELECT string_agg(chunk, ' ') FROM doc_embedding_store WHERE id = 1",
        "two",
    );
    assert_eq!(
        cluster.column("SELECT problem FROM ai.verify_vectorizer('doc')"),
        Vec::<String>::new()
    );
}

#[test]
fn long_forged_texts_fill_no_memory() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    create(cluster);
    cluster.execute("UPDATE doc_embedding_store SET chunk = repeat('x', 150000000)");
    // Another session: to make them takes as much.
    cluster.disconnect();
    let pid = cluster.value("SELECT pg_backend_pid()");
    let before = peak(&pid);
    let found = cluster.column("SELECT problem || ' ' || detail FROM ai.verify_vectorizer('doc')");
    assert_eq!(found, ["text the stored text is another"; 4]);
    assert_eq!(cluster.value("SELECT pg_backend_pid()"), pid);
    assert!(peak(&pid) < before + 150, "{} after {before} MB", peak(&pid));
    // The worker, too.
    let worker = cluster.wait_for_worker().to_string();
    let before = peak(&worker);
    cluster.execute("UPDATE doc SET body = 'two'");
    cluster.wait_for(
        "written",
        "SELECT string_agg(left(chunk, 5), ' ') FROM doc_embedding_store",
        "two two two two",
    );
    if cluster.worker().map(|pid| pid.to_string()).as_ref() == Some(&worker) {
        assert!(peak(&worker) < before + 150, "{} after {before} MB", peak(&worker));
    }
    // Texts of some megabytes are compared by what tells them from others.
    cluster.execute("UPDATE doc SET body = repeat('long ', 250000 + id) WHERE id < 4");
    cluster.wait_until_settled();
    let lengths = "SELECT bool_and(length(chunk) > 1200000) FROM doc_embedding_store WHERE id < 4";
    cluster.wait_for("embedded", lengths, "t");
    assert_eq!(
        cluster.column("SELECT problem FROM ai.verify_vectorizer('doc')"),
        Vec::<String>::new()
    );
    cluster.execute("UPDATE doc_embedding_store SET chunk = chunk || '!' WHERE id = 3");
    let found = "SELECT primary_key ->> 'id' || ' ' || problem FROM ai.verify_vectorizer('doc')";
    assert_eq!(cluster.column(found), ["3 text"]);
}
