//! The launcher and the workers: each edge of their state machines in docs/states.md, and what a document pays when a
//! process ends.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::time::Duration;

use notes::*;
use provider::Behaviour;
use support::{Cluster, DEADLINE, Database, Options, Scene, Stop, wait_until};

/// A worker that leaves at once when it has nothing to do.
fn short_lived(options: Options) -> Options {
    options.setting("ai.idle_timeout", "100ms")
}

/// Workers that were started for a database, as the log tells with `log_min_messages = debug1`.
fn starts(cluster: &Cluster, database: &str) -> usize {
    lines(
        cluster,
        &format!("starting background worker process \"ai worker {database}"),
    )
}

/// No query, lock or snapshot of a worker that waits for the provider is in anybody's way.
#[test]
fn waiting_for_the_provider_holds_nothing() {
    let notes = Notes::start();
    notes.provider.behave(Behaviour::Hang);
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    let worker = notes.cluster.wait_for_worker();
    let holds = format!(
        "SELECT backend_xmin IS NULL AND backend_xid IS NULL AND state = 'idle',
                (SELECT count(*) FROM pg_locks l WHERE l.pid = {worker})
         FROM pg_stat_activity a WHERE a.pid = {worker}"
    );
    assert_eq!(notes.cluster.rows(&holds), [["t", "0"]]);
    // A tenth of what the provider may take: whoever waited for it would fail.
    notes.cluster.execute("SET lock_timeout = '6s'");
    notes.cluster.execute("VACUUM FULL note");
    notes.cluster.execute("VACUUM FULL note_embedding_store");
    notes.cluster.execute("ALTER TABLE note ADD COLUMN more int");
    notes.cluster.execute("TRUNCATE note");
    assert_eq!(queued(&notes.cluster, 1, "id"), None);
    assert_eq!(
        notes.provider.counts().in_flight,
        1,
        "the provider was still being waited for"
    );
}

#[test]
fn launcher_is_connected_to_no_database() {
    let notes = Notes::start();
    let launcher = "SELECT coalesce(datname, 'none') FROM pg_stat_activity WHERE backend_type = 'ai launcher'";
    assert_eq!(notes.cluster.column(launcher), ["none"]);
}

/// With the usual idle timeout: Postgres waits five seconds for others to leave, and the worker stays for two.
#[test]
fn idle_database_can_be_copied_and_dropped() {
    let notes = Notes::start();
    let other = notes.another_database("other");
    add(&other, 1, "one");
    wait_for_embedded(&other, &["1:one"]);
    other.disconnect();
    notes.cluster.execute("CREATE DATABASE copy TEMPLATE other");
    let copy = notes.cluster.database("copy");
    add(&copy, 2, "two");
    wait_for_embedded(&copy, &["1:one", "2:two"]);
    copy.disconnect();
    notes.cluster.execute("ALTER DATABASE other RENAME TO another");
    notes.cluster.execute("DROP DATABASE copy");
    notes.cluster.execute("DROP DATABASE another");
}

#[test]
fn state_dropped_database_is_forgotten() {
    let notes = Notes::start_with(|options| short_lived(options).setting("ai.naptime", "1s"));
    let other = notes.another_database("other");
    idle(&other);
    other.disconnect();
    notes.cluster.execute("DROP DATABASE other");
    // Its naptime passes: a launcher that had not forgotten would try to start a worker, and fail.
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    for _ in 0..3 {
        wait_for_no_worker(&notes.cluster);
        notes.cluster.wait_for_worker();
    }
    assert_eq!(lines(&notes.cluster, "does not exist"), 0);
    assert_eq!(lines(&notes.cluster, "exited with exit code 1"), 0);
    let named = "SELECT count(*) FROM ai._worker_processes() p
                 WHERE p.database IS NOT NULL AND NOT EXISTS (SELECT FROM pg_database d WHERE d.oid = p.database)";
    assert_eq!(notes.cluster.value(named), "0");
}

#[test]
fn state_templates_are_left_alone() {
    let mut notes = Notes::start_with(|options| options.setting("log_min_messages", "debug1"));
    notes.cluster.execute("CREATE DATABASE closed");
    notes.cluster.execute("ALTER DATABASE closed ALLOW_CONNECTIONS false");
    notes.cluster.execute("CREATE DATABASE model IS_TEMPLATE true");
    // The launcher looks at the catalogue when it starts.
    notes.0.cluster.stop(Stop::Fast);
    notes.0.cluster.start_again();
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    for name in ["template1", "template0", "model", "closed"] {
        assert_eq!(starts(&notes.cluster, name), 0, "{name}");
    }
}

#[test]
fn state_worker_comes_with_the_commit() {
    let notes = Notes::start_with(short_lived);
    idle(&notes.cluster);
    let mut user = notes.cluster.connect().unwrap();
    let mut open = user.transaction().unwrap();
    open.execute("INSERT INTO note VALUES (1, 'one')", &[]).unwrap();
    assert_eq!(notes.cluster.worker(), None);
    open.commit().unwrap();
    wait_for_embedded(&notes.cluster, &["0:first", "1:one"]);
}

/// A database with a fresh commit is served; what was rolled back before it has woken nobody and left nothing.
#[test]
fn state_rollback_wakes_nobody() {
    let notes = Notes::start_with(|options| short_lived(options).setting("log_min_messages", "debug1"));
    idle(&notes.cluster);
    let before = starts(&notes.cluster, "postgres");
    for _ in 0..5 {
        notes
            .cluster
            .execute("BEGIN; INSERT INTO note VALUES (1, 'one'); ROLLBACK");
        notes
            .cluster
            .execute("BEGIN; INSERT INTO note VALUES (1, 'one'); SAVEPOINT s; ROLLBACK TO s; ROLLBACK");
    }
    add(&notes.cluster, 2, "two");
    wait_for_embedded(&notes.cluster, &["0:first", "2:two"]);
    assert_eq!(starts(&notes.cluster, "postgres") - before, 1);
}

#[test]
fn state_idle_worker_leaves() {
    let notes = Notes::start_with(short_lived);
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    wait_for_no_worker(&notes.cluster);
    let rows = "SELECT count(*) FROM ai.worker_status WHERE process = 'worker'";
    assert_eq!(notes.cluster.value(rows), "0");
    assert_eq!(reason(&notes.cluster, "launcher"), "NULL");
}

/// Nobody looks but who is woken (the naptime is a day), and the worker leaves whenever it has nothing to do.
#[test]
fn state_woken_while_leaving_loses_nothing() {
    let notes = Notes::start_with(|options| options.setting("ai.idle_timeout", "0").setting("ai.naptime", "1d"));
    for id in 1..=60 {
        add(&notes.cluster, id, "text");
        let there = format!("SELECT count(*) FROM note_embedding_store WHERE id = {id}");
        notes.cluster.wait_for("the note is embedded", &there, "1");
    }
}

#[test]
fn state_worker_returns_for_a_retry() {
    let notes = Notes::start_with(|options| short_lived(options).setting("ai.naptime", "1d"));
    notes.provider.behave_times(1, Behaviour::ServerError);
    add(&notes.cluster, 1, "one");
    wait_until(
        "it has failed",
        DEADLINE,
        || errors(&notes.cluster),
        |errors| errors == &["1:embedding:transient:1"],
    );
    wait_for_no_worker(&notes.cluster);
    wait_for_embedded(&notes.cluster, &["1:one"]);
    assert_eq!(errors(&notes.cluster), [""; 0]);
}

/// Nothing is committed after the restart: the launcher has to look by itself.
#[test]
fn state_worker_looks_into_every_database() {
    let mut notes = Notes::start_with(short_lived);
    let other = notes.another_database("other");
    notes.provider.behave(Behaviour::Hang);
    add(&notes.cluster, 1, "one");
    add(&other, 1, "eins");
    notes.wait_for_requests_in_flight(2);
    other.disconnect();
    notes.0.cluster.stop(Stop::Fast);
    notes.provider.behave(Behaviour::Well);
    notes.0.cluster.start_again();
    wait_for_embedded(&notes.cluster, &["1:one"]);
    wait_for_embedded(&other, &["1:eins"]);
}

#[test]
fn second_database_is_served_without_a_restart() {
    let notes = Notes::start();
    let other = notes.another_database("another database, with a long name and an ä");
    add(&other, 1, "one");
    wait_for_embedded(&other, &["1:one"]);
    assert_eq!(embedded(&notes.cluster), [""; 0]);
}

#[test]
fn state_max_workers_take_turns() {
    let notes = Notes::start_with(|options| short_lived(options).setting("ai.max_workers", "1"));
    let (second, third) = (notes.another_database("second"), notes.another_database("third"));
    for database in [&*notes.cluster, &second, &third] {
        idle(database);
    }
    // Long enough to look at what the others wait for.
    notes.provider.behave_times(1, Behaviour::Slow(Duration::from_secs(2)));
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    add(&second, 2, "two");
    add(&third, 3, "three");
    wait_for_reason(
        &notes.cluster,
        "launcher",
        "1 workers are busy, as many as ai.max_workers allows",
    );
    assert_eq!(embedded(&second).len() + embedded(&third).len(), 2);
    wait_for_embedded(&notes.cluster, &["0:first", "1:one"]);
    wait_for_embedded(&second, &["0:first", "2:two"]);
    wait_for_embedded(&third, &["0:first", "3:three"]);
}

/// The launcher tries again after 5 and 10 seconds; the only process is free after 3 to 5.
#[test]
fn state_no_process_to_spare_is_told() {
    // Postgres' own launcher of logical replication takes one, ours another.
    let notes = Notes::start_with(|options| short_lived(options).setting("max_worker_processes", "3"));
    let other = notes.another_database("other");
    idle(&notes.cluster);
    idle(&other);
    notes.provider.behave_times(1, Behaviour::Slow(Duration::from_secs(3)));
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    let before = lines(&notes.cluster, "raise max_worker_processes");
    add(&other, 2, "two");
    wait_for_reason(&notes.cluster, "launcher", "raise max_worker_processes");
    wait_for_embedded(&other, &["0:first", "2:two"]);
    assert_eq!(lines(&notes.cluster, "raise max_worker_processes") - before, 1);
    assert_eq!(reason(&notes.cluster, "launcher"), "NULL");
}

/// Never a process for it, until there are more of them.
#[test]
fn max_worker_processes_can_be_raised() {
    let mut scene = Notes::start_with(|options| options.setting("max_worker_processes", "2"));
    add(&scene.cluster, 1, "one");
    wait_for_reason(&scene.cluster, "launcher", "raise max_worker_processes");
    scene
        .0
        .cluster
        .restart_with(|options| options.setting("max_worker_processes", "8"));
    wait_for_embedded(&scene.cluster, &["1:one"]);
}

/// Looked at once when the server starts, and then left alone while another database is served again and again.
#[test]
fn state_database_without_the_extension_is_left_alone() {
    let mut notes = Notes::start_with(|options| {
        short_lived(options)
            .setting("ai.naptime", "1s")
            .setting("log_min_messages", "debug1")
    });
    notes.cluster.execute("CREATE DATABASE plain");
    notes.0.cluster.restart();
    let before = starts(&notes.cluster, "postgres");
    wait_until(
        "the other is served again and again",
        DEADLINE,
        || starts(&notes.cluster, "postgres"),
        |starts| *starts >= before + 3,
    );
    assert_eq!(starts(&notes.cluster, "plain"), 1);
    let plain = notes.cluster.database("plain");
    plain.execute("CREATE EXTENSION ai CASCADE");
    create_notes(&plain, 6);
    add(&plain, 1, "one");
    wait_for_embedded(&plain, &["1:one"]);
}

#[test]
fn state_other_version_stands_still() {
    let version = env!("CARGO_PKG_VERSION");
    let notes = Notes::start_with(|options| short_lived(options).setting("ai.naptime", "1s"));
    idle(&notes.cluster);
    notes
        .cluster
        .execute("UPDATE pg_extension SET extversion = '99.9' WHERE extname = 'ai'");
    add(&notes.cluster, 1, "one");
    wait_until(
        "the log says it",
        DEADLINE,
        || {
            lines(
                &notes.cluster,
                &format!("the extension is version 99.9, the library {version}"),
            )
        },
        |lines| *lines > 0,
    );
    assert_eq!(embedded(&notes.cluster), ["0:first"]);
    notes.cluster.execute(&format!(
        "UPDATE pg_extension SET extversion = '{version}' WHERE extname = 'ai'"
    ));
    wait_for_embedded(&notes.cluster, &["0:first", "1:one"]);
}

/// Makes a database one that cannot be connected to although the catalogue says so, or mends it again.
fn damage(cluster: &Cluster, database: &str, damaged: bool) {
    let oid = cluster.value(&format!("SELECT oid FROM pg_database WHERE datname = '{database}'"));
    let folder = cluster.data().join("base").join(oid);
    let (there, away) = (folder.join("PG_VERSION"), folder.join("PG_VERSION.away"));
    let (from, to) = if damaged { (there, away) } else { (away, there) };
    std::fs::rename(from, to).unwrap();
}

/// The back-offs are 5 and 10 seconds.
#[test]
fn state_failed_start_backs_off() {
    let notes = Notes::start_with(|options| short_lived(options).setting("ai.naptime", "1s"));
    let other = notes.another_database("other");
    idle(&other);
    damage(&notes.cluster, "other", true);
    wait_for_reason(&notes.cluster, "worker", "1 starts failed in a row; the next is in");
    let backing_off = "SELECT database, state FROM ai.worker_status WHERE reason LIKE '%starts failed%'";
    assert_eq!(notes.cluster.rows(backing_off), [["other", "waiting"]]);
    wait_for_reason(&notes.cluster, "worker", "2 starts failed in a row; the next is in");
    assert_eq!(lines(&notes.cluster, "is not a valid data directory"), 2);
    // Nobody else has to wait.
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
}

#[test]
fn state_reload_ends_the_back_off() {
    let notes = Notes::start_with(|options| short_lived(options).setting("ai.naptime", "1s"));
    let other = notes.another_database("other");
    idle(&other);
    damage(&notes.cluster, "other", true);
    add(&other, 1, "one");
    // The second back-off is 10 s: what comes sooner was not waited for.
    wait_for_reason(&notes.cluster, "worker", "2 starts failed in a row; the next is in");
    damage(&notes.cluster, "other", false);
    notes.cluster.reload();
    wait_until(
        "a worker was started",
        Duration::from_secs(6),
        || embedded(&other).len(),
        |embedded| *embedded == 2,
    );
}

/// The launcher learns of it when it looks at the catalogue, and a reload makes it look.
#[test]
fn closed_database_is_served_when_it_opens() {
    let notes = Notes::start_with(|options| short_lived(options).setting("ai.naptime", "1s"));
    let other = notes.another_database("other");
    notes.provider.behave(Behaviour::ServerError);
    add(&other, 1, "one");
    wait_until(
        "it has failed",
        DEADLINE,
        || errors(&other),
        |errors| !errors.is_empty(),
    );
    wait_for_no_worker(&other);
    other.disconnect();
    notes.cluster.execute("ALTER DATABASE other ALLOW_CONNECTIONS false");
    notes.provider.behave(Behaviour::Well);
    // Its retry is due within two seconds; the other database is looked at every second.
    for _ in 0..3 {
        wait_for_no_worker(&notes.cluster);
        notes.cluster.wait_for_worker();
    }
    assert_eq!(lines(&notes.cluster, "is not currently accepting connections"), 0);
    notes.cluster.execute("ALTER DATABASE other ALLOW_CONNECTIONS true");
    notes.cluster.reload();
    wait_for_embedded(&other, &["1:one"]);
}

#[test]
fn without_preloading_the_reason_is_told() {
    let mut scene = Scene::start_with(|options| options.setting("shared_preload_libraries", ""));
    create_notes(&scene.cluster, 6);
    assert_eq!(
        lines(&scene.cluster, "WARNING:  ai is not in shared_preload_libraries"),
        1
    );
    add(&scene.cluster, 1, "one");
    let status = "SELECT process, state FROM ai.worker_status";
    assert_eq!(
        scene.cluster.rows(status),
        [["launcher", "missing"], ["vectorizer", "waiting"]]
    );
    for process in ["launcher", "vectorizer"] {
        assert!(reason(&scene.cluster, process).contains("add it to postgresql.conf and restart the server"));
    }
    scene
        .cluster
        .restart_with(|options| options.setting("shared_preload_libraries", "ai"));
    wait_for_embedded(&scene.cluster, &["1:one"]);
}

/// A standby shows what it has, and writes from the moment of its promotion.
#[test]
fn state_standby_has_no_launcher() {
    let mut notes = Notes::start();
    notes.provider.behave(Behaviour::Hang);
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    notes.0.cluster.stop(Stop::Fast);
    let requests = notes.provider.counts().requests;
    notes.provider.behave(Behaviour::Well);
    std::fs::write(notes.cluster.data().join("standby.signal"), "").unwrap();
    notes.0.cluster.start_again();
    assert_eq!(notes.cluster.value("SELECT pg_is_in_recovery()"), "t");
    assert!(reason(&notes.cluster, "launcher").contains("the server is in recovery"));
    assert!(reason(&notes.cluster, "vectorizer").contains("the server is in recovery"));
    assert_eq!(launcher(&notes.cluster), None);
    assert_eq!(notes.provider.counts().requests, requests);
    notes.cluster.execute("SELECT pg_promote()");
    wait_for_embedded(&notes.cluster, &["1:one"]);
}

#[test]
fn hostile_settings_change_nothing() {
    let notes = Scene::start();
    notes.cluster.execute(
        "CREATE ROLE owner LOGIN; GRANT CREATE ON SCHEMA public TO owner; GRANT USAGE ON FOREIGN SERVER ai_openai TO owner",
    );
    notes
        .cluster
        .execute("CREATE ROLE nobody; CREATE SCHEMA trap; CREATE TABLE trap.note (id int, body text)");
    let version = notes.cluster.value("SHOW server_version_num");
    let parallel = match version.parse::<u32>().expect("a number") {
        ..160_000 => "force_parallel_mode = on",
        _ => "debug_parallel_query = on",
    };
    let settings = [
        "statement_timeout = 1",
        "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 1",
        "default_transaction_isolation = serializable",
        "default_transaction_read_only = on",
        "default_transaction_deferrable = on",
        "search_path = trap",
        "row_security = off",
        "datestyle = 'German, DMY'",
        "intervalstyle = sql_standard",
        "bytea_output = escape",
        "extra_float_digits = -15",
        "timezone = 'Pacific/Chatham'",
        "standard_conforming_strings = off",
        "quote_all_identifiers = on",
        "transform_null_equals = on",
        "default_table_access_method = heap",
        "xmloption = document",
        "session_replication_role = replica",
        "role = nobody",
        "session_authorization = nobody",
        "exit_on_error = on",
        "array_nulls = off",
        "plan_cache_mode = force_generic_plan",
        parallel,
        "enable_seqscan = off",
        "check_function_bodies = off",
    ];
    notes.cluster.execute("SET SESSION AUTHORIZATION owner");
    create_notes(&notes.cluster, 6);
    notes.cluster.execute("RESET SESSION AUTHORIZATION");
    for setting in settings {
        notes.cluster.execute(&format!("ALTER DATABASE postgres SET {setting}"));
        // A role's settings beat those of its database.
        if !setting.starts_with("role") && !setting.starts_with("session_authorization") {
            notes.cluster.execute(&format!(
                "ALTER ROLE owner SET {setting}; ALTER ROLE postgres SET {setting}"
            ));
        }
    }
    // The session of the test keeps the settings it began with; the worker that is there does, too.
    notes
        .cluster
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'ai worker'");
    notes.cluster.reload();
    wait_for_no_worker(&notes.cluster);
    for id in 1..=20 {
        add(&notes.cluster, id, &format!("note {id}"));
    }
    notes.cluster.wait_until_settled();
    assert_eq!(embedded(&notes.cluster).len(), 20);
    notes.cluster.execute("UPDATE note SET body = 'changed' WHERE id = 7");
    let changed = "SELECT chunk FROM note_embedding_store WHERE id = 7";
    notes.cluster.wait_for("the change arrives", changed, "changed");
    assert_eq!(errors(&notes.cluster), [""; 0]);
}

/// To compile a plan takes a hundred times as long as what the worker does with it, and its plans look dear on purpose.
#[test]
fn worker_compiles_no_plans() {
    let notes = Notes::start_with(|options| options.setting("jit_above_cost", "0"));
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    // Where Postgres comes without a compiler, nobody has one.
    let available = notes.cluster.value("SELECT pg_jit_available()") == "t";
    assert_eq!(compiles(session(&notes.cluster)), available);
    assert!(!compiles(notes.cluster.wait_for_worker()));
}

/// Nor is anything of ours compiled in a session that avoids scans, as those do that want their vectors found
/// by an index.
#[test]
fn session_compiles_no_plans_of_ours() {
    let notes = Notes::start();
    notes.cluster.execute("CREATE TABLE other (body text)");
    let session = session(&notes.cluster);
    notes.cluster.execute("SET enable_seqscan = off");
    for statement in [
        "SELECT ai.create_vectorizer(
             'note'::regclass, name => 'second', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8),
             destination => ai.destination_table('second'))",
        "ALTER TABLE note ADD COLUMN more text",
        "INSERT INTO note VALUES (1, 'one')",
        "SELECT ai.drop_vectorizer('second', drop_all => true)",
    ] {
        notes.cluster.execute(statement);
        assert!(!compiles(session), "{statement}");
    }
    // Plans of its own are.
    notes.cluster.execute("SET jit_above_cost = 0");
    notes.cluster.execute("SELECT count(*) FROM other");
    let available = notes.cluster.value("SELECT pg_jit_available()") == "t";
    assert_eq!(compiles(session), available);
}

/// The process of a session.
fn session(database: &Database) -> i32 {
    database.value("SELECT pg_backend_pid()").parse().unwrap()
}

/// Whether a process has loaded Postgres' compiler.
fn compiles(pid: i32) -> bool {
    let libraries = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    libraries.contains("llvmjit")
}

#[test]
fn state_dropped_extension_ends_the_worker() {
    let notes = Notes::start_with(|options| options.setting("ai.idle_timeout", "1h"));
    notes.provider.behave(Behaviour::Hang);
    add(&notes.cluster, 1, "one");
    notes.wait_for_requests_in_flight(1);
    notes.cluster.execute("SET lock_timeout = '6s'");
    notes.cluster.execute("DROP EXTENSION ai CASCADE");
    wait_for_no_worker(&notes.cluster);
    notes.wait_for_no_request();
    notes.provider.behave(Behaviour::Well);
    notes.cluster.execute("INSERT INTO note VALUES (2, 'two')");
    notes
        .cluster
        .execute("DROP TABLE note CASCADE; DROP TABLE IF EXISTS note_embedding_store CASCADE");
    notes.cluster.execute("CREATE EXTENSION ai CASCADE");
    create_notes(&notes.cluster, 6);
    add(&notes.cluster, 3, "three");
    wait_for_embedded(&notes.cluster, &["3:three"]);
}
