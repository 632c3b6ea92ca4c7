//! A good citizen: what else goes on in the server is neither in the way of the vectorizers nor they in its.

mod support;

#[path = "support/notes.rs"]
mod notes;

use notes::*;
use provider::Behaviour;
use support::{Cluster, DEADLINE, Database, Scene, Stop, wait_until};

/// Postgres gives others five seconds to leave; the provider would take a minute.
#[test]
fn database_can_be_copied_renamed_and_dropped_while_a_provider_hangs() {
    let notes = Notes::start();
    let other = notes.another_database("other");
    notes.provider.behave(Behaviour::Hang);
    add(&other, 1, "one");
    for command in [
        "CREATE DATABASE copy TEMPLATE other",
        "ALTER DATABASE other RENAME TO another",
        "ALTER DATABASE another RENAME TO other",
    ] {
        notes.wait_for_requests_in_flight(1);
        other.disconnect();
        notes.cluster.execute("DROP DATABASE IF EXISTS copy");
        notes.cluster.execute(command);
    }
    // It comes back, and nobody was charged.
    notes.provider.behave(Behaviour::Well);
    wait_for_embedded(&other, &["1:one"]);
    assert_eq!(errors(&other), [""; 0]);

    notes.provider.behave(Behaviour::Hang);
    add(&other, 2, "two");
    notes.wait_for_requests_in_flight(1);
    other.disconnect();
    notes.cluster.execute("DROP DATABASE other");
    notes.wait_for_no_request();
    assert_eq!(lines(&notes.cluster, "exited with exit code 1"), 0);
}

/// Nobody else is asked to leave: the worker stays away for a moment only, and a command that fails has no
/// other effect.
#[test]
fn database_that_is_in_use_after_all_is_served_again() {
    let notes = Notes::start();
    let other = notes.another_database("other");
    notes.provider.behave(Behaviour::Hang);
    add(&other, 1, "one");
    notes.wait_for_requests_in_flight(1);
    let refusal = notes.cluster.refusal("DROP DATABASE other");
    assert_eq!(refusal.0, "55006", "{}", refusal.1);
    notes.provider.behave(Behaviour::Well);
    wait_for_embedded(&other, &["1:one"]);
}

/// The worker and the sessions of users have to write keys in the same way, or one does not find what the other noted.
#[test]
fn keys_are_the_same_in_every_session() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("ALTER DATABASE postgres SET timezone = 'Asia/Kathmandu'");
    let prefer = "SET timezone = 'Pacific/Chatham'; SET datestyle = 'German, DMY'; SET intervalstyle = sql_standard;
                  SET extra_float_digits = -10; SET bytea_output = escape;";
    cluster.execute(
        "CREATE TABLE doc (at timestamptz, span tstzrange, wait interval, size float8, raw bytea, seen timestamptz, body text,
                           PRIMARY KEY (at, span, wait, size, raw))",
    );
    cluster.execute(
        "SELECT ai.create_vectorizer('doc', name => 'docs', loading => ai.loading_column('body', retries => 0),
             chunking => ai.chunking_none(), embedding => ai.embedding_openai('text-embedding-3-small', 8),
             formatting => ai.formatting_python_template('$seen: $chunk'))",
    );
    cluster.execute(&format!(
        "{prefer}
         INSERT INTO doc
         SELECT moment, tstzrange(moment, moment + interval '1 hour'), make_interval(days => i, secs => 0.5 + i), 1 / 3.0 + i,
                '\\x00ff', moment, 'text ' || i
         FROM generate_series(1, 10) i, make_timestamptz(2026, 3, 28, i, 30, 0, 'UTC') AS moment"
    ));
    cluster.wait_until_settled();
    let memories = "SELECT count(*) FROM ai._vectorizer_document";
    assert_eq!(cluster.value("SELECT count(*) FROM doc_embedding_store"), "10");
    assert_eq!(
        cluster.column("SELECT chunk FROM doc_embedding_store ORDER BY at LIMIT 1"),
        ["2026-03-28 01:30:00+00:00: text 1"]
    );
    for session in [prefer, "RESET ALL;"] {
        cluster.execute(session);
        assert_eq!(verified(cluster, "docs"), [[""; 3]; 0], "{session}");
    }

    // What failed is forgotten with its row, and tried again under its key.
    // The worker asks a server that refuses texts about one of its own, which is to be accepted.
    scene.provider.behave(Behaviour::RejectInput("2026".to_owned()));
    cluster.execute("UPDATE doc SET seen = seen + interval '1 s' WHERE size < 4");
    cluster.wait_until_settled();
    assert_eq!(errors_of(cluster), "3");
    cluster.execute(prefer);
    let failed =
        "SELECT count(*) FROM ai.vectorizer_failed f JOIN ai.vectorizer_errors e ON e.primary_key = f.primary_key";
    assert_eq!(cluster.value(failed), "3");
    cluster.execute("DELETE FROM doc WHERE size < 2");
    assert_eq!(errors_of(cluster), "2");
    cluster.execute("UPDATE doc SET at = at + interval '1 minute' WHERE size < 3");
    cluster.wait_until_settled();
    assert_eq!(errors_of(cluster), "2");
    scene.provider.behave(Behaviour::Well);
    let retry = "SELECT ai.retry_vectorizer('docs', (SELECT primary_key FROM ai.vectorizer_failed ORDER BY primary_key ->> 'at' LIMIT 1))";
    assert_eq!(cluster.value(retry), "1");
    cluster.wait_until_settled();
    assert_eq!(errors_of(cluster), "1");
    cluster.execute("DELETE FROM doc");
    assert_eq!(errors_of(cluster), "0");
    assert_eq!(cluster.value(memories), "0");
}

#[track_caller]
fn errors_of(database: &Database) -> String {
    database.value("SELECT count(*) FROM ai.vectorizer_errors")
}

/// jsonb holds 256 MB: the keys of the rows that are deleted together may be longer.
#[test]
fn very_long_keys_are_deleted_together() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE TABLE doc (key text PRIMARY KEY, body text)");
    cluster.execute(
        "SELECT ai.create_vectorizer('doc', name => 'docs', loading => ai.loading_column('body'),
             chunking => ai.chunking_none(), embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    cluster.execute("SELECT ai.disable_vectorizer_schedule('docs')");
    let insert = "INSERT INTO doc SELECT i || repeat('x', 215000), 'text' FROM generate_series(1, 1300) i";
    let note = "INSERT INTO ai._vectorizer_errors (id, step, failure_class, primary_key)
                SELECT 1, 'loading', 'transient', jsonb_build_object('key', key) FROM doc ORDER BY key LIMIT 250";
    let queued = "SELECT count(*) FROM ai._vectorizer_q_1
                  WHERE NOT EXISTS (SELECT FROM ai._vectorizer_intake_1)";
    cluster.execute(insert);
    cluster.wait_for("all are in the queue", queued, "1300");
    cluster.execute(note);
    assert_eq!(
        cluster.value("SELECT sum(length(key)) > 256 * 1024 * 1024 FROM doc"),
        "t"
    );
    cluster.execute("DELETE FROM doc");
    assert_eq!(cluster.value("SELECT count(*) FROM ai._vectorizer_errors"), "0");
    assert_eq!(cluster.value("SELECT count(*) FROM ai._vectorizer_q_1"), "0");
    // Rows that get other keys, in more than one portion.
    cluster.execute("INSERT INTO doc SELECT i, 'text' FROM generate_series(1, 1000) i");
    cluster.wait_for("all are in the queue", queued, "1000");
    cluster.execute(note);
    cluster.execute("UPDATE doc SET key = 'new ' || key");
    assert_eq!(cluster.value("SELECT count(*) FROM ai._vectorizer_errors"), "0");
    cluster.wait_for("the new keys are there instead", queued, "1000");
}

/// How often the queues were read, by the numbers of their vectorizers: those that were.
#[track_caller]
fn reads(database: &Database) -> Vec<(i64, i64)> {
    let sql = "SELECT v.id, s.seq_scan + coalesce(s.idx_scan, 0)
               FROM ai._vectorizer v JOIN pg_stat_all_tables s ON s.relid = v.queue ORDER BY 1";
    let rows = database.rows(sql);
    let number = |text: &str| text.parse().unwrap();
    rows.iter().map(|row| (number(&row[0]), number(&row[1]))).collect()
}

/// One process serves all of them, and a commit costs a look at the queues it has filled.
#[test]
fn two_hundred_vectorizers_share_one_process() {
    const NUMBER: u32 = 200;
    let scene = Scene::start_with(|options| {
        options
            .setting("ai.idle_timeout", "1h")
            .setting("ai.naptime", "1d")
            .setting("ai.max_workers", "1")
            .setting("max_locks_per_transaction", "256")
    });
    let cluster = &scene.cluster;
    for number in 1..=NUMBER {
        cluster.execute(&format!(
            "CREATE TABLE doc_{number} (id int PRIMARY KEY, body text);
             INSERT INTO doc_{number} VALUES (1, 'first of {number}');
             SELECT ai.create_vectorizer('doc_{number}', name => 'docs_{number}', loading => ai.loading_column('body'),
                 chunking => ai.chunking_none(), embedding => ai.embedding_openai('text-embedding-3-small', 8))"
        ));
    }
    let count = |database: &Database| -> String {
        let parts: Vec<String> = (1..=NUMBER)
            .map(|number| format!("(SELECT count(*) FROM doc_{number}_embedding_store)"))
            .collect();
        database.value(&format!("SELECT {}", parts.join(" + ")))
    };
    wait_until(
        "all are embedded",
        DEADLINE,
        || count(cluster),
        |seen| *seen == NUMBER.to_string(),
    );
    cluster.wait_until_settled();
    let processes = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'ai %'";
    assert_eq!(cluster.value(processes), "2", "the launcher and a worker");

    // From here on nobody else may look at the queues, and the views of the extension do. A process tells all
    // of its reads together: with those of one more document, all that the worker has read so far are known.
    cluster.execute("SELECT pg_stat_force_next_flush()");
    let seventh = || reads(cluster).into_iter().find(|queue| queue.0 == 7);
    let so_far = seventh();
    cluster.execute("INSERT INTO doc_7 VALUES (5, 'fifth')");
    wait_until("reads are counted", DEADLINE, seventh, |now| *now != so_far);
    let before = reads(cluster);
    let worker = cluster.wait_for_worker();
    for number in [7, 150] {
        cluster.execute(&format!("INSERT INTO doc_{number} VALUES (2, 'second')"));
    }
    wait_until(
        "both are embedded",
        DEADLINE,
        || cluster.column("SELECT id FROM doc_7_embedding_store UNION ALL SELECT id FROM doc_150_embedding_store"),
        |ids| ids.len() == 5,
    );
    let changed = || -> Vec<i64> {
        let now = reads(cluster);
        let changed = now.iter().zip(&before).filter(|(now, before)| now != before);
        changed.map(|(now, _)| now.0).collect()
    };
    wait_until("the reads are counted", DEADLINE, changed, |changed| {
        changed.contains(&7) && changed.contains(&150)
    });
    // A look at the others would have come before this one, and be counted with it.
    let so_far = seventh();
    cluster.execute("INSERT INTO doc_7 VALUES (4, 'fourth')");
    wait_until("the next read is counted, too", DEADLINE, seventh, |now| *now != so_far);
    assert_eq!(changed(), [7, 150]);
    assert_eq!(cluster.worker(), Some(worker));

    // More than are kept apart at a time: all are looked at, and all are served.
    let inserts: Vec<String> = (1..=NUMBER)
        .map(|number| format!("INSERT INTO doc_{number} VALUES (3, 'third of {number}')"))
        .collect();
    cluster.execute(&inserts.join(";"));
    let all = (2 * NUMBER + 4).to_string();
    wait_until("all are embedded", DEADLINE, || count(cluster), |seen| *seen == all);
    assert_eq!(cluster.worker(), Some(worker));
    assert_eq!(cluster.value(processes), "2");
    assert_eq!(cluster.value("SELECT count(*) FROM ai.vectorizer_errors"), "0");
}

/// As many as three workers serve them all, one after the other. They are copies, as many are in practice.
#[test]
fn a_hundred_databases_are_served_in_turn() {
    const NUMBER: usize = 100;
    let notes = Notes::start_with(|options| {
        options
            .setting("ai.idle_timeout", "0")
            .setting("ai.max_workers", "3")
            .setting("shared_buffers", "128MB")
    });
    let first = notes.another_database("tenant_1");
    first.disconnect();
    for number in 2..=NUMBER {
        wait_for_no_worker_in(&notes.cluster, "tenant_1");
        notes.cluster.execute(&format!(
            "CREATE DATABASE tenant_{number} TEMPLATE tenant_1 STRATEGY file_copy"
        ));
    }
    let tenants: Vec<Database> = (1..=NUMBER)
        .map(|number| notes.cluster.database(&format!("tenant_{number}")))
        .collect();
    for (number, tenant) in (1..).zip(&tenants) {
        add(tenant, number, "text");
        tenant.disconnect();
    }
    let mut most = 0;
    let processes = "SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('ai worker', 'ai indexer')";
    for (number, tenant) in (1..).zip(&tenants) {
        let expected = [format!("{number}:text")];
        let look = || {
            most = most.max(notes.cluster.value(processes).parse::<usize>().unwrap());
            let seen = embedded(tenant);
            tenant.disconnect();
            seen
        };
        wait_until("the note of a tenant is embedded", DEADLINE * 2, look, |seen| {
            seen == &expected
        });
    }
    assert!((1..=3).contains(&most), "{most} processes at a time");
    assert_eq!(notes.provider.counts().inputs, NUMBER as u64);
}

/// Databases that are copied have to be left by their workers first; Postgres waits for that, but not for ever.
#[track_caller]
fn wait_for_no_worker_in(cluster: &Cluster, database: &str) {
    let sql =
        format!("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ai worker' AND datname = '{database}'");
    cluster.wait_for("its worker has left", &sql, "0");
}

/// While pg_upgrade has a server in its hands, nothing of ours runs, and what is written waits.
#[test]
fn nothing_runs_while_the_server_is_upgraded() {
    // Postgres says so of each process that it is to start, before it takes connections.
    let mut notes = Notes::start_with(|options| options.setting("log_min_messages", "debug1"));
    let registered = |cluster: &Cluster| lines(cluster, "registering background worker \"ai launcher\"");
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    assert_eq!(registered(&notes.cluster), 1);
    notes.0.cluster.restart_with(|options| options.binary_upgrade(true));
    let before = notes.provider.counts().requests;
    add(&notes.cluster, 2, "two");
    notes.cluster.execute("UPDATE note SET body = 'eins' WHERE id = 1");
    assert_eq!(notes.cluster.value("SELECT ai.vectorizer_queue_pending(1)"), "2");
    assert_eq!(
        notes
            .cluster
            .value("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'ai %'"),
        "0"
    );
    assert_eq!(registered(&notes.cluster), 1);
    assert_eq!(notes.provider.counts().requests, before);
    notes.0.cluster.restart_with(|options| options.binary_upgrade(false));
    wait_for_embedded(&notes.cluster, &["1:eins", "2:two"]);
}

/// Callers in serializable transactions may be told to try again, as ever, also when they change what the
/// worker has just taken; nothing else fails, and nothing is missed.
#[test]
fn serializable_callers_are_served() {
    let notes = Notes::start_with(|options| options.setting("default_transaction_isolation", "serializable"));
    notes
        .cluster
        .execute("INSERT INTO note SELECT i, 'note ' || i FROM generate_series(1, 40) i");
    std::thread::scope(|scope| {
        for session in 0..4 {
            let notes = &notes;
            scope.spawn(move || {
                let mut user = notes.cluster.connect().unwrap();
                for round in 0..20 {
                    let (changed, gone, new) = (
                        1 + session * 10 + round % 8,
                        9 + session * 10 + round % 2,
                        100 + session * 100 + round,
                    );
                    let work = format!(
                        "BEGIN; UPDATE note SET body = 'round {round} of {session}' WHERE id = {changed};
                         DELETE FROM note WHERE id = {gone}; INSERT INTO note VALUES ({new}, 'new {new}'); COMMIT"
                    );
                    while let Err(error) = user.batch_execute(&work) {
                        let code = error.code().map(|code| code.code().to_owned());
                        assert_eq!(code.as_deref(), Some("40001"), "{error}");
                        user.batch_execute("ROLLBACK").unwrap();
                    }
                }
            });
        }
    });
    notes.cluster.wait_until_settled();
    assert_eq!(notes.cluster.value("SELECT count(*) FROM note_embedding_store"), "112");
    assert_eq!(verified(&notes.cluster, "public_note_embedding_store"), [[""; 3]; 0]);
    assert_eq!(errors(&notes.cluster), [""; 0]);
}

/// A pooler gives a session with its prepared statements from client to client, and cleans up in between.
#[test]
fn prepared_statements_outlive_vectorizers() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE TABLE note (id int PRIMARY KEY, body text)");
    let mut pooled = cluster.connect().unwrap();
    // Kept plans, from the sixth time on.
    pooled
        .batch_execute("SET plan_cache_mode = force_generic_plan")
        .unwrap();
    let insert = pooled.prepare("INSERT INTO note VALUES ($1, $2)").unwrap();
    let update = pooled.prepare("UPDATE note SET body = $2 WHERE id = $1").unwrap();
    let delete = pooled.prepare("DELETE FROM note WHERE id = $1").unwrap();
    pooled.execute(&insert, &[&1, &"one"]).unwrap();
    cluster.execute("DROP TABLE note");
    create_notes(cluster, 6);
    let mut next = 2;
    let mut expected = Vec::new();
    let chunks = || cluster.column("SELECT chunk FROM note_embedding_store ORDER BY id");
    for change in [
        "SELECT 1",
        "ALTER TABLE ai._vectorizer_q_1 RENAME TO queue",
        "ALTER TABLE note ADD COLUMN more int",
        "SELECT ai.follow_replication(1)",
        "SELECT ai.create_vectorizer('note', name => 'again', loading => ai.loading_column('body'),
             destination => ai.destination_column('vector'), chunking => ai.chunking_none(),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    ] {
        cluster.execute(change);
        pooled.execute(&insert, &[&next, &"new"]).unwrap();
        pooled.execute(&update, &[&next, &"changed"]).unwrap();
        pooled.execute(&insert, &[&(next + 1), &"short-lived"]).unwrap();
        pooled.execute(&delete, &[&(next + 1)]).unwrap();
        next += 2;
        expected.push("changed");
        wait_until(change, DEADLINE, chunks, |seen| *seen == expected);
        // What a pooler sends between two clients; it would take the statements along, which are the driver's.
        pooled
            .batch_execute("CLOSE ALL; RESET ALL; UNLISTEN *; DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES")
            .unwrap();
    }
    cluster.wait_until_settled();
    let vectors = "SELECT count(*) FROM note WHERE vector IS NOT NULL";
    assert_eq!(cluster.value(vectors), expected.len().to_string());
    pooled.batch_execute("DISCARD ALL").unwrap();
    pooled.batch_execute("INSERT INTO note VALUES (100, 'after')").unwrap();
    expected.push("after");
    wait_until("a session that was cleaned", DEADLINE, chunks, |seen| *seen == expected);
    let insert = pooled.prepare("INSERT INTO note (id, body) VALUES ($1, $2)").unwrap();
    cluster.execute("SELECT ai.drop_vectorizer(1); SELECT ai.drop_vectorizer('again')");
    pooled.execute(&insert, &[&101, &"nobody's"]).unwrap();
    cluster.execute("DROP EXTENSION ai CASCADE");
    pooled.execute(&insert, &[&102, &"nobody's"]).unwrap();
}

/// pg_upgrade keeps numbers of tables, not of functions, and refuses what it cannot keep. Here to the same
/// version: what it does is the same.
#[test]
fn server_is_upgraded_with_its_vectorizers() {
    let mut notes = Notes::start_with(|options| options.setting("ai.naptime", "1s"));
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    notes.cluster.execute("SELECT ai.follow_replication(1)");
    let before = "SELECT embedding_uuid FROM note_embedding_store WHERE id = 1";
    let embedding = notes.cluster.value(before);
    notes.provider.behave(Behaviour::Hang);
    add(&notes.cluster, 2, "two");
    notes.wait_for_requests_in_flight(1);
    notes.0.cluster.stop(Stop::Fast);
    notes.provider.behave(Behaviour::Well);
    let inputs = notes.provider.counts().inputs;

    let data = notes.cluster.data();
    let folder = data.parent().unwrap();
    let (old, new) = (folder.join("old"), folder.join("new"));
    let run = |mut command: std::process::Command| {
        let output = command.current_dir(folder).output().expect("the program starts");
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&said)
        );
    };
    let mut initdb = notes.cluster.client_program("initdb");
    initdb.arg("-D").arg(&new).args([
        "-U",
        "postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
        "--wal-segsize=1",
    ]);
    run(initdb);
    std::fs::rename(&data, &old).unwrap();
    for server in [&old, &new] {
        let path = server.join("postgresql.conf");
        let settings = std::fs::read_to_string(&path).unwrap() + "\nshared_preload_libraries = 'ai'\nfsync = off\n";
        std::fs::write(&path, settings).unwrap();
    }
    let programs = std::env::var_os("AI_TEST_PG_BINDIR").unwrap();
    let mut upgrade = notes.cluster.client_program("pg_upgrade");
    upgrade.arg("-b").arg(&programs).arg("-B").arg(&programs);
    upgrade.arg("-d").arg(&old).arg("-D").arg(&new);
    upgrade.args(["-U", "postgres", "-s"]).arg(folder);
    run(upgrade);
    std::fs::rename(&new, &data).unwrap();

    notes.0.cluster.start_again();
    wait_for_embedded(&notes.cluster, &["1:one", "2:two"]);
    assert_eq!(notes.cluster.value(before), embedding);
    assert_eq!(notes.provider.counts().inputs, inputs + 1);
    notes.cluster.execute(
        "SET session_replication_role = replica; INSERT INTO note VALUES (3, 'three'); RESET session_replication_role",
    );
    notes
        .cluster
        .execute("ALTER TABLE note RENAME body TO words; UPDATE note SET words = 'eins' WHERE id = 1");
    wait_for_embedded(&notes.cluster, &["1:eins", "2:two", "3:three"]);
    assert_eq!(verified(&notes.cluster, "public_note_embedding_store"), [[""; 3]; 0]);
}

/// The function of the triggers is known by name, and the name follows.
#[test]
fn function_of_the_triggers_can_be_renamed_and_moved() {
    let notes = Notes::start();
    let cluster = &notes.cluster;
    let follows = |name: &str| {
        assert_eq!(cluster.value("SELECT trigger_function FROM ai._vectorizer"), name);
        assert_eq!(cluster.value("SELECT ai._is_watched(1)"), "t");
    };
    cluster.execute("ALTER FUNCTION ai._vectorizer_src_trg_1() RENAME TO \"the trigger\"");
    follows("ai.\"the trigger\"");
    cluster.execute("CREATE SCHEMA app; ALTER ROUTINE ai.\"the trigger\"() SET SCHEMA app");
    follows("app.\"the trigger\"");
    cluster.execute("ALTER SCHEMA app RENAME TO moved; ALTER TABLE note RENAME body TO words");
    follows("moved.\"the trigger\"");
    add(cluster, 1, "one");
    wait_for_embedded(cluster, &["1:one"]);
    cluster.execute("SELECT ai.drop_vectorizer(1)");
    assert_eq!(
        cluster.value("SELECT count(*) FROM pg_proc WHERE proname = 'the trigger'"),
        "0"
    );
    add(cluster, 2, "two");
}
