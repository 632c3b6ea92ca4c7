//! ALTER EXTENSION ai UPDATE: what was made by an earlier version becomes what this version would have made,
//! and nothing is embedded again.
//!
//! `tests/data/ai--0.1.0.sql` is the install script of the version that was released first, and
//! `tests/data/vectorizers-0.1.0.sql` what pg_dump wrote of a database of that version: the one that
//! [`leave_work`] makes, with that version's own worker. Both are frozen (`make check ONLY=frozen`).
//!
//! **When a test here fails after a change of `sql/*.sql`**, the upgrade script lacks that change. Say it once more in
//! `sql/ai--0.1.0--0.2.0.sql`: `CREATE FUNCTION`, `CREATE TABLE` and `CREATE VIEW` of new objects with their
//! `COMMENT ON`, `GRANT` and `pg_extension_config_dump` word for word; `CREATE OR REPLACE FUNCTION` for
//! changed bodies; `ALTER TABLE` for tables. What `sql/query/create_*.sql` makes for a new vectorizer, the
//! script has to make for those that there are (the trigger functions follow by themselves). The printed
//! difference names the objects: `-` is what a fresh install has, `+` what the update made. Run
//! `tests/support/install.sh` (or `make build`) before the test: it installs the script.
//!
//! **When a version is released**: `dump_for_the_next_release` leaves `vectorizers-<version>.sql` in the folder for
//! temporary files of the build. Copy it and the install script of that version to `tests/data`, add their sums to
//! `FROZEN` in `tests/support/check.py`, and begin the next upgrade script.

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;

use provider::Behaviour;
use support::{Cluster, DEADLINE, Database, Scene, wait_until};

const OLD: &str = "0.1.0";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Vectorizers of each kind: chunks in a table, a vector in a column, rows in partitions.
fn create_vectorizers(database: &Database) {
    database.execute(
        "CREATE SCHEMA app;
         CREATE TABLE app.doc (tenant int, id int, title text, body text, PRIMARY KEY (tenant, id));
         CREATE TABLE app.\"Note\" (\"Key\" text PRIMARY KEY, body text);
         CREATE TABLE app.news (id int, day date, body text, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
         CREATE TABLE app.news_25 PARTITION OF app.news FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
         CREATE TABLE app.news_26 PARTITION OF app.news FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    );
    database.execute(
        "SELECT ai.create_vectorizer('app.doc', name => 'chunks', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8),
             formatting => ai.formatting_python_template('$title: $chunk'))",
    );
    database.execute(
        "SELECT ai.create_vectorizer('app.\"Note\"', name => 'vectors', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4), destination => ai.destination_column('vec'),
             chunking => ai.chunking_none(), queue_schema => 'app')",
    );
    database.execute(
        "SELECT ai.create_vectorizer('app.news', name => 'news', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
}

/// The vectorizers with rows that are embedded, one that has failed, and some that wait or are worked on.
fn leave_work(scene: &Scene, database: &Database) {
    create_vectorizers(database);
    database.execute(
        "INSERT INTO app.doc VALUES (1, 1, 'First', 'one'), (1, 2, 'Second', 'two'), (2, 1, 'Third', 'three');
         INSERT INTO app.\"Note\" VALUES ('a', 'note a'), ('b', 'note b');
         INSERT INTO app.news VALUES (1, '2025-05-05', 'five'), (2, '2026-06-06', 'six')",
    );
    database.wait_until_settled();
    scene.provider.behave(Behaviour::RejectInput("poison".to_owned()));
    database.execute("INSERT INTO app.doc VALUES (6, 6, 'Sixth', 'poison')");
    let failed = "SELECT count(*) FROM ai._vectorizer_q_failed_1";
    database.wait_for("one has failed", failed, "1");
    database.wait_until_settled();
    scene.provider.behave(Behaviour::Hang);
    database.execute(
        "INSERT INTO app.doc VALUES (1, 3, 'Fourth', 'four'), (1, 4, 'Fifth', 'five');
         UPDATE app.doc SET body = 'zwei' WHERE id = 2;
         INSERT INTO app.\"Note\" VALUES ('c', 'note c');
         INSERT INTO app.news VALUES (3, '2026-07-07', 'seven')",
    );
    let leased = "SELECT count(*) FROM ai._vectorizer_q_1 WHERE lease IS NOT NULL";
    database.wait_for("some are worked on", leased, "3");
}

/// What there is of embeddings, by document.
fn embeddings(database: &Database) -> Vec<Vec<String>> {
    let mut rows = database.rows(
        "SELECT embedding_uuid, tenant, id, chunk_seq, chunk, embedding FROM app.doc_embedding_store ORDER BY chunk, tenant",
    );
    rows.extend(database.rows(
        "SELECT embedding_uuid, day, id, chunk_seq, chunk, embedding FROM app.news_embedding_store ORDER BY day",
    ));
    rows.extend(database.rows("SELECT \"Key\", vec FROM app.\"Note\" WHERE vec IS NOT NULL ORDER BY 1"));
    rows
}

fn dump(cluster: &Cluster, database: &str) -> String {
    let mut command = cluster.client_program("pg_dump");
    command.args(["-U", "postgres", "-d", database]);
    let output = command.output().expect("pg_dump starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the database is in UTF-8")
}

#[test]
fn dump_for_the_next_release() {
    let scene = Scene::start();
    scene.cluster.execute("CREATE DATABASE work");
    let work = scene.cluster.database("work");
    work.execute("CREATE EXTENSION ai CASCADE");
    leave_work(&scene, &work);
    let dump = dump(&scene.cluster, "work");
    for part in ["poison", "note c", "_vectorizer_q_failed_1", "COPY ai._vectorizer "] {
        assert!(dump.contains(part), "{part:?} in {dump}");
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::write(folder.join(format!("vectorizers-{VERSION}.sql")), dump).expect("the folder can be written to");
}

/// Puts the install script of the first version where this Postgres looks for it. Several tests may do so at a time.
fn offer_old_version(cluster: &Cluster) {
    let mut command = cluster.client_program("pg_config");
    let output = command.arg("--sharedir").output().expect("pg_config starts");
    let folder = String::from_utf8(output.stdout).expect("paths are in UTF-8");
    let folder = Path::new(folder.trim()).join("extension");
    let (script, begun) = (
        folder.join(format!("ai--{OLD}.sql")),
        tempfile::NamedTempFile::new_in(&folder),
    );
    let mut begun = begun.expect("the Postgres of the tests can be installed into");
    begun
        .write_all(include_bytes!("data/ai--0.1.0.sql"))
        .expect("the script is written");
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    begun.as_file().set_permissions(readable).expect("the script is ours");
    begun.persist(script).expect("the script is put into its place");
}

/// The database that the first version left behind, as it would be after the library alone was replaced.
fn old_database(scene: &Scene) -> Database {
    old_database_of(scene, "old")
}

/// The same, of another name.
fn old_database_of(scene: &Scene, name: &str) -> Database {
    let cluster = &scene.cluster;
    offer_old_version(cluster);
    cluster.execute(&format!("CREATE DATABASE {name}"));
    let create = "CREATE EXTENSION IF NOT EXISTS ai WITH SCHEMA ai;";
    let dump = include_str!("data/vectorizers-0.1.0.sql");
    assert!(dump.contains(create));
    // A restore would be the end of the story: in a database that is updated the numbers of the catalogue hold, and the
    // event trigger did not see the tables come.
    let script = dump.replace(
        create,
        &format!("CREATE EXTENSION ai WITH SCHEMA ai VERSION '{OLD}'; ALTER EVENT TRIGGER ai_after_ddl DISABLE;"),
    ) + "UPDATE ai._vectorizer v SET place = (
             SELECT format('%s/%s/%s', c.system_identifier, d.oid, v.source::oid)
             FROM pg_control_system() c, pg_database d WHERE d.datname = current_database());
         -- Dumps do not know that queues go with the extension.
         SET allow_system_table_mods = on;
         INSERT INTO pg_depend
         SELECT 'pg_class'::regclass, c.oid, 0, 'pg_extension'::regclass, e.oid, 0, 'x'
         FROM ai._vectorizer v
         JOIN pg_class c ON c.oid IN (v.queue, v.queue_failed)
         JOIN pg_extension e ON e.extname = 'ai';
         ALTER EVENT TRIGGER ai_after_ddl ENABLE;";
    let path = cluster.data().join("old.sql");
    fs::write(&path, script).expect("the folder of the cluster can be written to");
    let (_, complaints) = cluster.psql(name, &path);
    assert_eq!(complaints, "");
    cluster.database(name)
}

/// A line for each property of each object of the extension.
fn catalogue(database: &Database) -> Vec<String> {
    database.execute("SET search_path = pg_catalog");
    let lines = database.column(include_str!("data/catalogue.sql"));
    database.execute("RESET search_path");
    lines
}

/// What the vectorizers consist of: their tables, indexes, triggers and functions.
fn vectorizer_objects(database: &Database) -> Vec<String> {
    database.execute("SET search_path = pg_catalog");
    let lines = database.column(include_str!("data/vectorizer_objects.sql"));
    database.execute("RESET search_path");
    lines
}

/// # Panics
/// With the lines that are not in both.
#[track_caller]
fn assert_same(what: &str, fresh: &[String], updated: &[String]) {
    assert!(fresh.len() > 10, "{what}: {fresh:#?}");
    let lacking = fresh
        .iter()
        .filter(|line| !updated.contains(line))
        .map(|line| format!("- {line}"));
    let left = updated
        .iter()
        .filter(|line| !fresh.contains(line))
        .map(|line| format!("+ {line}"));
    let difference: Vec<String> = lacking.chain(left).collect();
    assert!(
        difference.is_empty(),
        "after the update, {what} differ from those of a fresh install (-: fresh, +: updated); see the head of this file:\n{}",
        difference.join("\n")
    );
}

#[test]
fn an_update_makes_what_a_fresh_install_makes() {
    let scene = Scene::start();
    scene.provider.behave(Behaviour::Hang);
    let old = old_database(&scene);
    scene.cluster.execute("CREATE DATABASE fresh");
    let fresh = scene.cluster.database("fresh");
    fresh.execute("CREATE EXTENSION ai CASCADE");
    create_vectorizers(&fresh);
    old.execute("ALTER EXTENSION ai UPDATE");
    assert_same("the objects of the extension", &catalogue(&fresh), &catalogue(&old));
    assert_same(
        "the vectorizers",
        &vectorizer_objects(&fresh),
        &vectorizer_objects(&old),
    );
    // Nothing of a vectorizer has become a part of the extension.
    old.execute("DROP EXTENSION ai");
    let left = "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_vectorizer\\_q%'";
    assert_eq!(old.value(left), "0");
    assert_eq!(old.value("SELECT count(*) FROM app.doc_embedding"), "3");
    old.execute("UPDATE app.doc SET body = 'free'; UPDATE app.news SET body = 'free'; TRUNCATE app.news_25");
}

/// Whoever has a vectorizer may go on, and with nothing that he did not use; pg_dump keeps that.
#[test]
fn owners_keep_the_servers_that_they_used() {
    let scene = Scene::start();
    let old = old_database(&scene);
    old.execute("ALTER EVENT TRIGGER ai_after_ddl DISABLE");
    old.execute("CREATE ROLE app; ALTER TABLE app.doc OWNER TO app; CREATE ROLE nobody");
    old.execute("ALTER EVENT TRIGGER ai_after_ddl ENABLE");
    old.execute("ALTER EXTENSION ai UPDATE");
    let granted = "SELECT r.rolname, s.srvname FROM pg_foreign_server s, pg_roles r
                   WHERE has_server_privilege(r.oid, s.oid, 'USAGE') AND r.rolname IN ('app', 'nobody')";
    assert_eq!(old.rows(granted), [["app", "ai_openai"]]);
    let dumped = dump(&scene.cluster, &old.value("SELECT current_database()"));
    let grant = "GRANT ALL ON FOREIGN SERVER ai_openai TO app";
    assert!(dumped.contains(grant), "{grant} is in the dump");
}

/// The queues of version 0.1.0 have a column `class`, which is called `failure_class` now: as a column of a
/// key may have been.
#[test]
fn a_key_of_the_name_that_the_queues_need_makes_room() {
    let scene = Scene::start();
    let old = old_database(&scene);
    old.execute("ALTER EVENT TRIGGER ai_after_ddl DISABLE");
    old.execute(
        "ALTER TABLE app.\"Note\" RENAME \"Key\" TO failure_class;
         ALTER TABLE app._vectorizer_q_2 RENAME \"Key\" TO failure_class;
         ALTER TABLE app._vectorizer_q_failed_2 RENAME \"Key\" TO failure_class;
         UPDATE ai._vectorizer SET source_pk = replace(source_pk::text, '\"Key\"', '\"failure_class\"')::jsonb WHERE id = 2",
    );
    old.execute("ALTER EVENT TRIGGER ai_after_ddl ENABLE");
    old.execute("ALTER EXTENSION ai UPDATE");
    scene.provider.behave(Behaviour::RejectInput("bad".to_owned()));
    old.execute("INSERT INTO app.\"Note\" VALUES ('d', 'note d'), ('e', 'bad')");
    old.wait_until_settled();
    let embedded =
        "SELECT string_agg(failure_class, '' ORDER BY failure_class) FROM app.\"Note\" WHERE vec IS NOT NULL";
    assert_eq!(old.value(embedded), "abcd");
    let failed = "SELECT pk_failure_class, failure_class FROM app._vectorizer_q_failed_2";
    assert_eq!(old.rows(failed), [["e", "permanent"]]);
    let listed = "SELECT primary_key ->> 'failure_class', failure_class FROM ai.vectorizer_failed WHERE id = 2";
    assert_eq!(old.rows(listed), [["e", "permanent"]]);
}

/// What an owner has made of its tables is said of its vectorizer; the others are updated.
#[test]
fn what_an_owner_has_altered_keeps_nobody_from_the_update() {
    const HOLD: &str = "LOCK TABLE app._vectorizer_q_2";
    // And whether the vectorizer can be worked on all the same.
    let alterations = [
        ("ALTER TABLE app._vectorizer_q_failed_2 RENAME class TO klass", false),
        ("ALTER TABLE app._vectorizer_q_failed_2 ADD failure_class text", true),
        ("ALTER TABLE app._vectorizer_q_2 RENAME backfill TO front", false),
        (
            "ALTER TABLE app._vectorizer_q_2 DROP loading_retry_after CASCADE",
            false,
        ),
        (
            "ALTER TABLE app._vectorizer_q_2 RENAME TO moved; CREATE VIEW app._vectorizer_q_2 AS SELECT 1 AS item",
            true,
        ),
        (
            "ALTER TABLE app._vectorizer_q_2 ALTER backfill TYPE text USING 'x'",
            false,
        ),
        (
            "CREATE INDEX mine ON app._vectorizer_q_2 (item) WHERE attempts > 1",
            true,
        ),
        ("CREATE TABLE app._vectorizer_intake_2 (x int)", true),
        (HOLD, false),
    ];
    let scene = Scene::start();
    for (number, (alteration, works)) in alterations.into_iter().enumerate() {
        let database = old_database_of(&scene, &format!("altered_{number}"));
        let mut held = database.connect().expect("the owner connects");
        held.batch_execute(&format!("SET session_replication_role = replica; BEGIN; {alteration}"))
            .unwrap_or_else(|error| panic!("{alteration}: {error}"));
        if alteration != HOLD {
            held.batch_execute("COMMIT").expect("the owner commits");
        }
        database.execute("SET lock_timeout = '500ms'; ALTER EXTENSION ai UPDATE; RESET lock_timeout");
        let version = "SELECT extversion FROM pg_extension WHERE extname = 'ai'";
        assert_eq!(database.value(version), VERSION, "{alteration}");
        // Those of the others are as they are to be.
        let others = "SELECT count(*) FROM pg_attribute a JOIN ai._vectorizer v ON a.attrelid = v.queue_failed
                      WHERE v.id <> 2 AND a.attname = 'failure_class'";
        assert_eq!(database.value(others), "2", "{alteration}");
        drop(held);
        let reason = "SELECT coalesce(string_agg(reason, ','), '') FROM ai.worker_status WHERE vectorizer = 'vectors'";
        if !works {
            wait_until(
                &format!("it is said that the vectorizer does not work: {alteration}"),
                DEADLINE,
                || database.value(reason),
                |reason| reason.contains("paused"),
            );
        }
        if alteration.contains("mine") {
            assert_eq!(
                database.value("SELECT count(*) FROM pg_class WHERE relname = 'mine'"),
                "1"
            );
        }
        database.execute("DROP EXTENSION ai CASCADE");
    }
}

#[test]
fn a_half_done_queue_is_finished_after_the_update() {
    let scene = Scene::start_with(|options| options.setting("ai.naptime", "1s").setting("ai.idle_timeout", "100ms"));
    let old = old_database(&scene);
    let before = embeddings(&old);
    assert_eq!(before.len(), 7);

    // While the versions differ nothing is done, and everybody is told; rows are queued as ever.
    let conflict = format!("the extension is version {OLD}, the library {VERSION}: run ALTER EXTENSION ai UPDATE");
    let log = || scene.cluster.log().matches(&conflict).count();
    wait_until("the worker has looked twice", DEADLINE, log, |times| *times >= 2);
    let reasons = "SELECT DISTINCT reason FROM ai.worker_status WHERE process IN ('vectorizer', 'launcher')";
    assert_eq!(old.column(reasons), [conflict.as_str()]);
    old.execute(
        "INSERT INTO app.doc VALUES (3, 1, 'Late', 'eight');
         DELETE FROM app.doc WHERE body = 'one';
         UPDATE app.news SET body = 'sechs' WHERE id = 2",
    );
    for sql in [
        "ALTER TABLE app.doc RENAME body TO words",
        "SELECT ai.create_vectorizer('app.doc', name => 'more', loading => ai.loading_column('title'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
        "SELECT ai.set_scheduling(1, ai.scheduling_none())",
    ] {
        assert_eq!(old.refusal(sql), ("55000".to_owned(), conflict.clone()), "{sql}");
    }
    assert_eq!(scene.provider.counts().requests, 0);

    // A partition that came, one that went and one that was emptied: the first version did not follow them.
    old.execute("ALTER EVENT TRIGGER ai_after_ddl DISABLE");
    old.execute(
        "CREATE TABLE app.later (id int NOT NULL, day date NOT NULL, body text);
         INSERT INTO app.later VALUES (4, '2027-01-01', 'nine');
         ALTER TABLE app.news ATTACH PARTITION app.later FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
         ALTER TABLE app.news DETACH PARTITION app.news_25",
    );
    old.execute("ALTER EVENT TRIGGER ai_after_ddl ENABLE");

    // Somebody writes all the while.
    let mut writer = old.connect().expect("the server takes connections");
    let mut writing = writer.transaction().expect("a transaction begins");
    let insert = "INSERT INTO app.doc VALUES (3, 2, 'During', 'ten')";
    writing.batch_execute(insert).expect("the row is inserted");
    let update = std::thread::scope(|scope| {
        let update = scope.spawn(|| {
            scene
                .cluster
                .database("old")
                .try_rows("ALTER EXTENSION ai UPDATE")
                .map(|_| ())
        });
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'ALTER EXTENSION%'";
        let done = || update.is_finished() || scene.cluster.value(waiting) == "1";
        wait_until("the update is done, or waits for the writer", DEADLINE, done, |done| {
            *done
        });
        writing.commit().expect("the row is committed");
        update.join().expect("the update does not panic")
    });
    update.expect("the extension is updated");

    old.wait_until_settled();
    let chunks = "SELECT string_agg(chunk, ', ' ORDER BY chunk) FROM app.doc_embedding_store";
    let expected = "During: ten, Fifth: five, Fourth: four, Late: eight, Second: zwei, Third: three";
    old.wait_for("the queue is finished", chunks, expected);
    let news = "SELECT string_agg(chunk, ', ' ORDER BY chunk) FROM app.news_embedding_store";
    assert_eq!(old.value(news), "nine, sechs, seven");
    assert_eq!(old.value("SELECT count(vec) FROM app.\"Note\""), "3");
    // The failed document is still known, and nothing else has failed.
    assert_eq!(
        old.value("SELECT string_agg(reason, '') LIKE '%invalid_input%' FROM ai._vectorizer_q_failed_1"),
        "t"
    );
    assert_eq!(
        old.value("SELECT string_agg(primary_key ->> 'id', ', ') FROM ai.vectorizer_errors"),
        "6"
    );
    let leases = "SELECT count(*) FROM ai._vectorizer_q_1";
    assert_eq!(old.value(leases), "0");
    // Nothing was embedded again: 6 texts of documents, 1 note, 3 of the news.
    let mut seen: Vec<String> = scene
        .provider
        .seen()
        .into_iter()
        .flat_map(|request| request.texts)
        .collect();
    seen.sort();
    let new = [
        "During: ten",
        "Fifth: five",
        "Fourth: four",
        "Late: eight",
        "Second: zwei",
        "nine",
        "note c",
        "sechs",
        "seven",
    ];
    assert_eq!(seen, new);
    let now = embeddings(&old);
    let kept: Vec<_> = before.iter().filter(|row| now.contains(row)).collect();
    assert_eq!(kept.len(), 3, "Third, note a and note b are as they were: {kept:?}");

    // And it goes on, in partitions too.
    old.execute("TRUNCATE app.news_26; UPDATE app.doc SET body = 'three and more' WHERE tenant = 2");
    old.wait_for(
        "the change arrives",
        "SELECT count(*) FROM app.doc_embedding_store WHERE chunk = 'Third: three and more'",
        "1",
    );
    old.wait_for("the partition is emptied", news, "nine");
}

/// Whoever updates the extension while its worker is busy (the library of the server is the old one until a restart)
/// loses no document, and charges none.
#[test]
fn a_busy_worker_leaves_when_the_version_changes() {
    let scene = Scene::start_with(|options| options.setting("ai.naptime", "1s"));
    let cluster = &scene.cluster;
    cluster.execute("CREATE TABLE doc (id int PRIMARY KEY, body text); INSERT INTO doc VALUES (1, 'one'), (2, 'two')");
    scene.provider.behave(Behaviour::Hang);
    cluster.execute(
        "SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    let leased = "SELECT count(*) FROM ai._vectorizer_q_1 WHERE lease IS NOT NULL AND attempts = 1";
    cluster.wait_for("both are worked on", leased, "2");
    let worker = cluster.wait_for_worker();
    // What every update script ends with, under a version that the library is not.
    cluster.execute("SELECT ai._refresh_triggers(); UPDATE pg_extension SET extversion = '99.9' WHERE extname = 'ai'");
    wait_until(
        "the worker leaves",
        DEADLINE,
        || cluster.worker(),
        |now| *now != Some(worker),
    );
    scene.provider.behave(Behaviour::Well);
    scene.provider.reset();
    cluster.execute(&format!(
        "UPDATE pg_extension SET extversion = '{VERSION}' WHERE extname = 'ai'"
    ));
    cluster.wait_until_settled();
    assert_eq!(cluster.value("SELECT count(*) FROM doc_embedding"), "2");
    assert_eq!(scene.provider.counts().inputs, 2);
    assert_eq!(cluster.value("SELECT count(*) FROM ai.vectorizer_errors"), "0");
}

/// The first version could be made anywhere. What is left of it in such a database harms nobody, and goes
/// when it is dropped.
#[test]
fn a_database_of_another_encoding_is_left_alone() {
    let scene = Scene::start_with(|options| options.setting("ai.naptime", "1s").setting("ai.idle_timeout", "100ms"));
    let cluster = &scene.cluster;
    offer_old_version(cluster);
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("old_{}", encoding.to_lowercase());
        cluster.execute(&format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
        ));
        let old = cluster.database(&name);
        old.execute(&format!(
            "CREATE EXTENSION vector; CREATE SCHEMA ai; CREATE EXTENSION ai VERSION '{OLD}';
             CREATE TABLE doc (id int PRIMARY KEY, body text)"
        ));
        let conflict = format!(
            "the encoding of this database is {encoding}, but ai needs UTF8: move the data to a database with ENCODING \
             'UTF8', and run DROP EXTENSION ai here"
        );
        let log = || cluster.log().matches(&conflict).count();
        wait_until("the worker has looked twice", DEADLINE, log, |times| *times >= 2);
        old.wait_for(
            "it says why",
            "SELECT reason FROM ai.worker_status WHERE process = 'launcher'",
            &conflict,
        );
        let refused = format!("the encoding of this database is {encoding}, but ai needs UTF8");
        assert_eq!(
            old.refusal("ALTER EXTENSION ai UPDATE"),
            ("0A000".to_owned(), refused.clone()),
        );
        let create = "SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'),
                          embedding => ai.embedding_openai('text-embedding-3-small', 8))";
        assert_eq!(old.refusal(create), ("0A000".to_owned(), conflict), "{encoding}");
        old.execute("INSERT INTO doc VALUES (1, 'K' || chr(228) || 'se'); DROP EXTENSION ai; TRUNCATE doc");
    }
    assert_eq!(scene.provider.counts().requests, 0);
}
