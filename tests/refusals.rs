//! The life of a document of which the database does not take what is written, or give what is read: rows and
//! tables that a user has locked, rows that are refused, and rows that cannot be read.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::time::{Duration, Instant};

use notes::*;
use provider::Behaviour;
use support::{DEADLINE, Database, Scene, wait_until};

/// The text that the table refuses is in nobody's log.
#[test]
fn state_refused_row_fails_alone() {
    let notes = Notes::start_with(|options| options.setting("ai.idle_timeout", "1h"));
    notes
        .cluster
        .execute("ALTER TABLE note_embedding_store ADD CHECK (chunk <> 'confidential')");
    add(&notes.cluster, 1, "one");
    notes
        .cluster
        .execute("INSERT INTO note VALUES (2, 'two'), (3, 'confidential'), (4, 'four')");
    wait_for_embedded(&notes.cluster, &["1:one", "2:two", "4:four"]);
    assert_eq!(failed(&notes.cluster), ["3:permanent"]);
    assert_eq!(errors(&notes.cluster), ["3:writing:permanent:1"]);
    let said = "SELECT e::text FROM ai.vectorizer_errors e UNION ALL SELECT f::text FROM ai._vectorizer_q_failed_1 f";
    for row in notes.cluster.column(said) {
        assert!(!row.contains("confidential"), "{row}");
    }
    assert!(!notes.cluster.log().contains("confidential"));
}

/// A user's transaction has a row of the source: the others do not wait for it, and the worker waits for no
/// lock. What was read of a row that is being changed is written, and then the change is.
#[test]
fn state_locked_row_is_not_waited_for() {
    for (lock, free) in [
        (
            "SELECT FROM note WHERE id = 2 FOR UPDATE",
            &["1:note 1", "3:note 3"][..],
        ),
        (
            "UPDATE note SET body = 'changed' WHERE id = 2",
            &["1:note 1", "2:note 2", "3:note 3"],
        ),
    ] {
        let notes = Notes::start();
        notes.provider.behave(Behaviour::Slow(Duration::from_secs(2)));
        add_many(&notes.cluster, 3);
        notes.wait_for_requests_in_flight(1);
        let mut user = notes.cluster.connect().unwrap();
        user.batch_execute("BEGIN").unwrap();
        user.batch_execute(lock).unwrap();
        assert_eq!(embedded(&notes.cluster), NONE, "all are with the provider");
        notes.provider.behave(Behaviour::Well);
        wait_until(
            "those that are not locked are there",
            DEADLINE,
            || embedded(&notes.cluster),
            |seen| seen == free,
        );
        assert_eq!(
            notes.cluster.value("SELECT count(*) FROM pg_locks WHERE NOT granted"),
            "0"
        );
        assert_eq!(errors(&notes.cluster), NONE);
        user.batch_execute("COMMIT").unwrap();
        let second = notes.cluster.value("SELECT '2:' || body FROM note WHERE id = 2");
        wait_for_embedded(&notes.cluster, &["1:note 1", &second, "3:note 3"]);
        assert_eq!(errors(&notes.cluster), NONE);
    }
}

/// A user keeps a row locked for longer than the worker holds a document: that is said, and it is written
/// soon after the lock is gone.
#[test]
fn state_row_that_is_locked_for_long_says_so_and_is_written_soon_after() {
    for (destination, lock, end) in [
        (
            "destination_table('doc_embedding')",
            "SELECT FROM doc WHERE id = 1 FOR UPDATE",
            "COMMIT",
        ),
        (
            "destination_table('doc_embedding')",
            "SELECT FROM doc FOR UPDATE",
            "ROLLBACK",
        ),
        // Vectors are written into the row itself, for which no lock at all may be there.
        (
            "destination_column('vector')",
            "SELECT FROM doc WHERE id = 1 FOR NO KEY UPDATE",
            "COMMIT",
        ),
    ] {
        let scene = Scene::start();
        let cluster = &scene.cluster;
        cluster.execute(&format!(
            "CREATE TABLE doc (id int PRIMARY KEY, body text);
             SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
                 destination => ai.{destination}, embedding => ai.embedding_openai('text-embedding-3-small', 8))"
        ));
        scene.provider.behave(Behaviour::Slow(Duration::from_secs(2)));
        cluster.execute("INSERT INTO doc VALUES (1, 'one'), (2, 'two')");
        wait_until(
            "a request",
            DEADLINE,
            || scene.provider.counts().requests,
            |requests| *requests > 0,
        );
        let mut user = cluster.connect().expect("another session");
        user.batch_execute(&format!("BEGIN; {lock}")).expect("the lock");
        scene.provider.behave(Behaviour::Well);
        let reason = || cluster.value("SELECT coalesce(reason, '') FROM ai.worker_status WHERE vectorizer = 'doc'");
        wait_until("the lock is named", DEADLINE, reason, |reason| {
            reason.contains("a lock of another session is in the way")
        });
        let throttled = cluster.value("SELECT ai.retry_vectorizer('doc', class => 'throttled')");
        assert_eq!(throttled, "0", "{lock}: nothing was throttled");
        let paid = scene.provider.counts().inputs;
        // It waits on while the lock lasts, in nobody's hands.
        let waits =
            "SELECT bool_and(lease IS NULL AND attempts = 0 AND loading_retry_after > now()) FROM ai._vectorizer_q_1";
        std::thread::sleep(Duration::from_secs(8));
        assert_eq!(cluster.value(waits), "t", "{lock}");
        assert!(reason().contains("a lock of another session is in the way"), "{lock}");
        user.batch_execute(end).expect("the lock is gone");
        let gone = Instant::now();
        cluster.wait_for("it is written", "SELECT count(*) FROM ai._vectorizer_q_1", "0");
        assert!(gone.elapsed() < Duration::from_secs(12), "{lock}: {:?}", gone.elapsed());
        assert_eq!(
            scene.provider.counts().inputs,
            paid,
            "{lock}: what was paid for was kept"
        );
        assert_eq!(errors(cluster), NONE);
        assert_eq!(
            cluster.value("SELECT count(*) FROM ai.verify_vectorizer('doc')"),
            "0",
            "{lock}"
        );
    }
}

/// The tables of one vectorizer are locked; the other one works.
#[test]
fn state_locked_table_is_not_waited_for() {
    for table in ["note", "note_embedding_store", "ai._vectorizer_q_1"] {
        let notes = Notes::start();
        create_memos(&notes.cluster, EMBEDDING);
        notes.provider.behave(Behaviour::Slow(Duration::from_secs(2)));
        add_many(&notes.cluster, 3);
        notes.wait_for_requests_in_flight(1);
        let mut user = notes.cluster.connect().unwrap();
        user.batch_execute("BEGIN").unwrap();
        user.batch_execute(&format!("LOCK TABLE {table}")).unwrap();
        notes.provider.behave(Behaviour::Well);
        notes.wait_for_no_request();
        for id in 1..=5 {
            notes
                .cluster
                .execute(&format!("INSERT INTO memo VALUES ({id}, 'memo')"));
            let there = format!("SELECT count(*) FROM memo_embedding_store WHERE id = {id}");
            notes.cluster.wait_for("the memo is embedded", &there, "1");
        }
        user.batch_execute("COMMIT").unwrap();
        wait_for_embedded(&notes.cluster, &["1:note 1", "2:note 2", "3:note 3"]);
        assert_eq!(errors(&notes.cluster), NONE, "{table}");
    }
}

/// However many documents wait for a table that is locked: others have room, and what was paid for is kept.
#[test]
fn state_locked_table_leaves_room_for_others() {
    let notes = Notes::start_with(|options| options.setting("ai.max_documents_in_flight", "4"));
    create_memos(&notes.cluster, EMBEDDING);
    let mut user = notes.cluster.connect().unwrap();
    user.batch_execute("BEGIN; LOCK TABLE note_embedding_store IN EXCLUSIVE MODE")
        .unwrap();
    // More than get their turn while the test looks, on however slow a machine.
    let many = 60_u32;
    add_many(&notes.cluster, many);
    notes.wait_for_texts(3);
    for id in 1..=5 {
        notes
            .cluster
            .execute(&format!("INSERT INTO memo VALUES ({id}, 'memo')"));
        let there = format!("SELECT count(*) FROM memo_embedding_store WHERE id = {id}");
        notes.cluster.wait_for("the memo is embedded", &there, "1");
    }
    // They are given back, their vectors are kept, and one at a time finds out whether the table is free.
    let put_aside = "SELECT count(DISTINCT item) >= 3 FROM ai._vectorizer_stash";
    notes.cluster.wait_for("vectors are put aside", put_aside, "t");
    notes.cluster.wait_for(
        "one of them is tried again",
        "SELECT count(*) FROM ai._vectorizer_q_1 WHERE lease IS NOT NULL",
        "1",
    );
    let before = notes.provider.counts().inputs;
    user.batch_execute("COMMIT").unwrap();
    notes.cluster.wait_until_settled();
    wait_for_no_worker(&notes.cluster);
    let right = "SELECT count(*) FROM note n JOIN note_embedding_store s ON s.id = n.id AND s.chunk = n.body";
    assert_eq!(notes.cluster.value(right), many.to_string());
    assert!(before < u64::from(many) + 5, "{before} inputs");
    assert_eq!(
        notes.provider.counts().inputs,
        u64::from(many) + 5,
        "each was paid for once"
    );
    assert_eq!(errors(&notes.cluster), NONE);
    assert_eq!(notes.cluster.value("SELECT count(*) FROM ai._vectorizer_stash"), "0");
}

/// The same for a vector in a column of the source, of whose rows a user has locked some.
#[test]
fn state_locked_row_keeps_its_vector() {
    let notes = Notes::start();
    notes
        .cluster
        .execute("CREATE TABLE card (id int PRIMARY KEY, body text)");
    notes.cluster.execute(&format!(
        "SELECT ai.create_vectorizer('card'::regclass, loading => ai.loading_column('body'), chunking => ai.chunking_none(),
             embedding => {EMBEDDING}, destination => ai.destination_column('vector'))"
    ));
    notes.provider.behave(Behaviour::Slow(Duration::from_secs(2)));
    notes.cluster.execute("INSERT INTO card VALUES (1, 'one'), (2, 'two')");
    notes.wait_for_requests_in_flight(1);
    let mut user = notes.cluster.connect().unwrap();
    user.batch_execute("BEGIN; SELECT FROM card WHERE id = 1 FOR UPDATE")
        .unwrap();
    let written = "SELECT count(*) FROM card WHERE vector IS NOT NULL";
    notes.cluster.wait_for("the other is written", written, "1");
    let put_aside = "SELECT count(*) FROM ai._vectorizer_stash";
    notes.cluster.wait_for("its vector is put aside", put_aside, "1");
    user.batch_execute("COMMIT").unwrap();
    notes.cluster.execute("SELECT ai.retry_vectorizer(2)");
    notes.cluster.wait_for("it is written", written, "2");
    notes.cluster.wait_until_settled();
    assert_eq!(notes.provider.counts().inputs, 2, "each was paid for once");
    assert_eq!(notes.cluster.value(put_aside), "0");
}

/// Every chunk is refused, as on a full disk, until the trigger `refuse` is dropped.
fn fill_disk(database: &Database) {
    database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON note_embedding_store FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
}

/// What the database cannot take for a while is not paid for again.
#[test]
fn state_refused_for_a_moment_is_paid_for_once() {
    let notes = Notes::start();
    fill_disk(&notes.cluster);
    add(&notes.cluster, 1, "one");
    wait_for_errors(&notes.cluster, &["1:writing:transient:1"]);
    notes.cluster.execute("DROP TRIGGER refuse ON note_embedding_store");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    assert_eq!(notes.provider.counts().inputs, 1);
    assert_eq!(errors(&notes.cluster), NONE);
}

/// What went wrong with the provider leaves the other steps their tries.
#[test]
fn state_each_step_has_its_tries() {
    let notes = Notes::start_with_retries(1);
    fill_disk(&notes.cluster);
    notes.provider.behave_times(2, Behaviour::ServerError);
    add(&notes.cluster, 1, "one");
    wait_for_errors(&notes.cluster, &["1:embedding:transient:2", "1:writing:transient:1"]);
    assert_eq!(failed(&notes.cluster), NONE);
    // The second failure of the same step is one too many.
    wait_for_failed(&notes.cluster, &["1:transient"]);
    assert_eq!(notes.provider.counts().inputs, 1);
}

/// A key that the queue does not take says so, once, and is in nobody's way.
#[test]
fn state_refused_change_is_noted_once() {
    let notes = Notes::start();
    notes
        .cluster
        .execute("ALTER TABLE ai._vectorizer_q_1 ADD CONSTRAINT small CHECK (id < 5)");
    add(&notes.cluster, 5, "five");
    // Others come in beside it.
    add(&notes.cluster, 4, "four");
    let there = "SELECT count(*) FROM note_embedding_store WHERE id = 4";
    notes.cluster.wait_for("the other is embedded", there, "1");
    let noted =
        "SELECT count(*) FROM ai.vectorizer_errors WHERE primary_key ->> 'id' = '5' AND failure_class = 'permanent'";
    notes.cluster.wait_for("it is noted", noted, "1");
    assert_eq!(lines(&notes.cluster, "cannot take documents"), 0);
    notes
        .cluster
        .execute("ALTER TABLE ai._vectorizer_q_1 DROP CONSTRAINT small");
    wait_for_embedded(&notes.cluster, &["4:four", "5:five"]);
    wait_for_errors(&notes.cluster, &NONE);
}

/// A row that the database itself cannot read is one row.
#[test]
fn state_unreadable_row_fails_alone() {
    let notes = Notes::start();
    create_pages(&notes.cluster, 6);
    notes
        .cluster
        .execute("INSERT INTO page VALUES (1, 'good'), (2, 'broken'), (3, 'broken'), (4, 'good')");
    let failed = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM ai._vectorizer_q_failed_2";
    notes.cluster.wait_for("those are given up", failed, "2 3");
    notes.cluster.wait_until_settled();
    let written = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM page_embedding_store";
    assert_eq!(notes.cluster.value(written), "1 4");
    let said = "SELECT string_agg(primary_key ->> 'id' || ':' || step, ' ' ORDER BY primary_key ->> 'id') FROM ai.vectorizer_errors";
    assert_eq!(notes.cluster.value(said), "2:loading 3:loading");
}

/// JSON that Postgres itself has no function for (a zero in a json, a number that no float holds) is text in
/// a template.
#[test]
fn json_that_is_only_text_is_read() {
    let notes = Notes::start();
    notes
        .cluster
        .execute("CREATE TABLE page (id int PRIMARY KEY, body text, meta json, more jsonb)");
    notes.cluster.execute(&format!(
        "SELECT ai.create_vectorizer('page'::regclass, loading => ai.loading_column('body'), chunking => ai.chunking_none(),
             formatting => ai.formatting_python_template('$meta $more $chunk'), embedding => {EMBEDDING})"
    ));
    notes.cluster.execute(
        r#"INSERT INTO page VALUES (1, 'one', '1', '1'), (2, 'two', '{"a": "\u0000"}', '1'), (3, 'three', '1', '{"x": 1e400}')"#,
    );
    notes.cluster.wait_until_settled();
    let written = "SELECT chunk FROM page_embedding_store ORDER BY id";
    let long = format!("1 {{'x': 1{}}} three", "0".repeat(400));
    assert_eq!(
        notes.cluster.column(written),
        ["1 1 one", r"{'a': '\x00'} 1 two", &long]
    );
    assert_eq!(errors(&notes.cluster), NONE);
}

/// Pages whose text became one of a type that the database reads by a function of the user: broken for some,
/// out of memory for bad ones, whose looks are counted, and in conflict for others.
fn create_pages(database: &Database, retries: u32) {
    database.execute(&format!(
        "CREATE SEQUENCE looks;
         CREATE TYPE quality AS ENUM ('good', 'broken', 'bad', 'in conflict');
         CREATE FUNCTION shown(quality) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
         BEGIN
             IF $1 = 'broken' THEN
                 RAISE 'it cannot be shown' USING ERRCODE = '22000';
             ELSIF $1 = 'bad' THEN
                 PERFORM nextval('public.looks');
                 RAISE 'no room for it' USING ERRCODE = '53200';
             ELSIF $1 = 'in conflict' THEN
                 RAISE 'another has it' USING ERRCODE = '40001';
             END IF;
             RETURN 'page';
         END
         $$;
         CREATE CAST (quality AS text) WITH FUNCTION shown(quality);
         CREATE TABLE page (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('page'::regclass, loading => ai.loading_column('body', retries => {retries}),
             chunking => ai.chunking_none(), embedding => {EMBEDDING});
         DROP VIEW page_embedding;
         ALTER TABLE page ALTER body TYPE quality USING 'good'"
    ));
}

/// What keeps all documents from being read is tried more and more rarely, though they can be taken each time.
#[test]
fn unreadable_documents_are_taken_more_and_more_rarely() {
    let notes = Notes::start();
    create_pages(&notes.cluster, 6);
    notes.cluster.execute("INSERT INTO page VALUES (1, 'bad'), (2, 'bad')");
    let noted = "SELECT count(*) FROM ai.vectorizer_errors WHERE primary_key IS NULL AND failure_class = 'transient' AND occurrences >= 3";
    notes.cluster.wait_for("it is noted", noted, "1");
    // The first of a row says so.
    assert_eq!(lines(&notes.cluster, "cannot take documents"), 1);
    let tried = "SELECT string_agg(attempts::text, ' ' ORDER BY id) FROM ai._vectorizer_q_2";
    notes.cluster.wait_for("they are given back", tried, "0 0");
    // A commit has them looked at before, which is no refusal more.
    for id in 3..=12 {
        let looks = || notes.cluster.value("SELECT last_value FROM looks");
        let before = looks();
        notes.cluster.execute(&format!("INSERT INTO page VALUES ({id}, 'bad')"));
        wait_until("it is looked at", DEADLINE, looks, |now| *now != before);
    }
    let occurrences = notes.cluster.value("SELECT occurrences FROM ai._vectorizer_errors");
    assert!(occurrences.parse::<u32>().unwrap() < 10, "{occurrences} occurrences");
    notes.cluster.execute("DELETE FROM page WHERE id > 2");
    // After a minute or two, one pays for all.
    notes
        .cluster
        .execute("UPDATE ai._vectorizer_errors SET occurrences = 6");
    notes.cluster.reload();
    notes.cluster.wait_for("the oldest is tried by itself", tried, "1 0");
    notes.cluster.execute("UPDATE page SET body = 'good'");
    notes.cluster.wait_until_settled();
    let written = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM page_embedding_store";
    assert_eq!(notes.cluster.value(written), "1 2");
    wait_for_errors(&notes.cluster, &NONE);
}

/// A failure that may pass, but always comes with the same document, is that document's own. So is a conflict that a
/// function only speaks of.
#[test]
fn a_row_that_is_never_read_keeps_nobody_waiting() {
    let notes = Notes::start();
    create_pages(&notes.cluster, 1);
    notes
        .cluster
        .execute("INSERT INTO page SELECT i, CASE i WHEN 2 THEN 'bad' WHEN 5 THEN 'in conflict' ELSE 'good' END::quality FROM generate_series(1, 20) i");
    let written = "SELECT count(*), count(*) FILTER (WHERE id IN (2, 5)) FROM page_embedding_store";
    let written = || notes.cluster.rows(written).swap_remove(0);
    wait_until("the others go on", DEADLINE, written, |seen| *seen == ["18", "0"]);
    wait_for_errors(&notes.cluster, &["2:loading:transient:1", "5:loading:transient:1"]);
    // One retry is allowed.
    let failed = "SELECT string_agg(id || ':' || failure_class, ' ' ORDER BY id) FROM ai._vectorizer_q_failed_2";
    notes
        .cluster
        .wait_for("they are given up", failed, "2:transient 5:transient");
    notes.cluster.wait_until_settled();
    wait_for_errors(&notes.cluster, &["2:loading:transient:2", "5:loading:transient:2"]);
    notes.cluster.execute("UPDATE page SET body = 'good'");
    wait_until("they are read", DEADLINE, written, |seen| *seen == ["20", "2"]);
    notes.cluster.wait_until_settled();
    wait_for_errors(&notes.cluster, &NONE);
}
