//! Rows that come by logical replication fire no statement triggers, and a streaming standby does nothing but
//! follow until it is promoted.

mod support;

#[path = "support/notes.rs"]
mod notes;

use notes::*;
use provider::{Behaviour, Provider};
use support::{Cluster, DEADLINE, Database, Options, Scene, Stop, wait_until};

/// Two databases of a cluster, one of which replicates `doc` of the other.
struct Replicated<'a> {
    publisher: Database,
    subscriber: Database,
    cluster: &'a Cluster,
}

impl Replicated<'_> {
    /// With what `create` says of the table, in both.
    fn start<'a>(cluster: &'a Cluster, create: &str) -> Replicated<'a> {
        cluster.execute("CREATE DATABASE publisher");
        cluster.execute("CREATE DATABASE subscriber");
        let (publisher, subscriber) = (cluster.database("publisher"), cluster.database("subscriber"));
        publisher.execute(create);
        publisher.execute("CREATE PUBLICATION docs FOR ALL TABLES");
        subscriber.execute("CREATE EXTENSION ai CASCADE");
        subscriber.execute(create);
        subscriber.execute(
            "SELECT ai.create_vectorizer('doc', name => 'docs', loading => ai.loading_column('body'),
                 chunking => ai.chunking_none(), embedding => ai.embedding_openai('text-embedding-3-small', 8))",
        );
        Replicated {
            publisher,
            subscriber,
            cluster,
        }
    }

    /// A subscription to a server that is one's own has to be given its slot.
    fn subscribe(&self) {
        self.publisher
            .execute("SELECT pg_create_logical_replication_slot('docs', 'pgoutput')");
        let sockets = self.cluster.value("SHOW unix_socket_directories");
        self.subscriber.execute(&format!(
            "CREATE SUBSCRIPTION docs CONNECTION 'host={sockets} user=postgres dbname=publisher' PUBLICATION docs
             WITH (create_slot = false, slot_name = 'docs')"
        ));
    }

    /// Waits until all that was written so far was applied.
    #[track_caller]
    fn catch_up(&self) {
        let position = self.publisher.value("SELECT pg_current_wal_lsn()");
        let applied = format!(
            "SELECT bool_and(confirmed_flush_lsn >= '{position}') FROM pg_replication_slots WHERE slot_name = 'docs'"
        );
        self.publisher.wait_for("the changes are applied", &applied, "t");
        let synchronized = "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel";
        self.subscriber.wait_for("the tables are copied", synchronized, "t");
    }

    #[track_caller]
    fn embedded(&self) -> Vec<String> {
        self.subscriber
            .column("SELECT id || ':' || chunk FROM doc_embedding_store ORDER BY id")
    }

    #[track_caller]
    fn wait_for(&self, expected: &[&str]) {
        let embedded = || self.embedded();
        wait_until("what was replicated is embedded", DEADLINE, embedded, |seen| {
            seen == expected
        });
        self.subscriber.wait_until_settled();
        assert_eq!(verified(&self.subscriber, "docs"), [[""; 3]; 0]);
    }
}

fn with_replication(options: Options) -> Options {
    options
        .setting("wal_level", "logical")
        .setting("max_worker_processes", "12")
}

/// Rows of the first copy, changes of each kind, and a TRUNCATE; and after the names have changed.
#[test]
fn replicated_rows_are_embedded_if_asked_for() {
    let scene = Scene::start_with(with_replication);
    let here = Replicated::start(&scene.cluster, "CREATE TABLE doc (id int PRIMARY KEY, body text)");
    let (from, to) = (&here.publisher, &here.subscriber);
    from.execute("INSERT INTO doc VALUES (1, 'one'), (2, 'two'), (3, 'three')");
    to.execute("SELECT ai.follow_replication('docs')");
    here.subscribe();
    here.catch_up();
    here.wait_for(&["1:one", "2:two", "3:three"]);
    from.execute(
        "UPDATE doc SET body = 'zwei' WHERE id = 2; DELETE FROM doc WHERE id = 1; UPDATE doc SET id = 4 WHERE id = 3",
    );
    from.execute("BEGIN; INSERT INTO doc SELECT i, 'nine' FROM generate_series(9, 9) i; COMMIT");
    here.catch_up();
    here.wait_for(&["2:zwei", "4:three", "9:nine"]);
    // Sessions of its own fire each trigger once.
    to.execute("INSERT INTO doc VALUES (5, 'own'); UPDATE doc SET body = 'neun' WHERE id = 9");
    here.wait_for(&["2:zwei", "4:three", "5:own", "9:neun"]);
    assert_eq!(to.value("SELECT ai.vectorizer_queue_pending('docs')"), "0");

    // The functions are made anew when names change, and the option stays.
    to.execute("ALTER TABLE ai._vectorizer_q_1 RENAME TO queue; ALTER TABLE doc_embedding_store RENAME TO store");
    to.execute("ALTER TABLE store RENAME TO doc_embedding_store");
    from.execute("UPDATE doc SET body = 'deux' WHERE id = 2");
    here.catch_up();
    here.wait_for(&["2:deux", "4:three", "5:own", "9:neun"]);
    let triggers = "SELECT string_agg(tgname || ' ' || tgenabled::text, ', ' ORDER BY tgname) FROM pg_trigger
                    WHERE tgrelid = 'doc'::regclass AND NOT tgisinternal";
    let followed = "_vectorizer_src_trg_1 O, _vectorizer_src_trg_1_delete O, _vectorizer_src_trg_1_replica R, \
                    _vectorizer_src_trg_1_truncate A";
    assert_eq!(to.value(triggers), followed);

    // It is dumped and restored with the rest.
    let mut dump = scene.cluster.client_program("pg_dump");
    dump.args(["-U", "postgres", "--no-subscriptions", "subscriber"]);
    let output = dump.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = scene.cluster.data().join("dump.sql");
    std::fs::write(&path, output.stdout).unwrap();
    scene.cluster.execute("CREATE DATABASE restored");
    let (_, complaints) = scene.cluster.psql("restored", &path);
    assert_eq!(complaints, "");
    let restored = scene.cluster.database("restored");
    assert_eq!(restored.value(triggers), followed);
    restored.execute(
        "SET session_replication_role = replica; INSERT INTO doc VALUES (10, 'ten'); RESET session_replication_role",
    );
    restored.wait_for(
        "it follows",
        "SELECT count(*) FROM doc_embedding_store WHERE chunk = 'ten'",
        "1",
    );

    from.execute("TRUNCATE doc");
    here.catch_up();
    assert_eq!(here.embedded(), [""; 0]);

    // Not any more.
    to.execute("SELECT ai.follow_replication('docs', false)");
    assert_eq!(
        to.value(triggers),
        followed
            .replace("_vectorizer_src_trg_1_replica R, ", "")
            .replace('A', "O")
    );
    from.execute("INSERT INTO doc VALUES (6, 'six')");
    here.catch_up();
    assert_eq!(to.value("SELECT count(*) FROM doc"), "1");
    assert_eq!(to.value("SELECT ai.vectorizer_queue_pending('docs')"), "0");
    assert_eq!(
        to.value("SELECT count(*) FROM ai.worker_status WHERE process = 'vectorizer' AND reason IS NOT NULL"),
        "0"
    );
    to.execute("SELECT ai.follow_replication('docs'); SELECT ai.drop_vectorizer('docs', drop_all => true)");
    assert_eq!(to.value(triggers), "NULL");
    to.execute("DROP SUBSCRIPTION docs");
}

#[test]
fn replicated_partitions_are_embedded_if_asked_for() {
    let scene = Scene::start_with(with_replication);
    let create = "CREATE TABLE doc (id int PRIMARY KEY, body text) PARTITION BY LIST (id);
                  CREATE TABLE doc_1 PARTITION OF doc FOR VALUES IN (1);
                  CREATE TABLE doc_2 PARTITION OF doc FOR VALUES IN (2)";
    let here = Replicated::start(&scene.cluster, create);
    let (from, to) = (&here.publisher, &here.subscriber);
    to.execute("SELECT ai.follow_replication('docs')");
    for database in [from, to] {
        database.execute("CREATE TABLE doc_3 PARTITION OF doc FOR VALUES IN (3)");
    }
    here.subscribe();
    from.execute("INSERT INTO doc VALUES (1, 'one'), (2, 'two'), (3, 'three')");
    here.catch_up();
    here.wait_for(&["1:one", "2:two", "3:three"]);
    from.execute("UPDATE doc SET body = 'eins' WHERE id = 1; DELETE FROM doc WHERE id = 2; TRUNCATE doc_3");
    here.catch_up();
    here.wait_for(&["1:eins"]);
    let enabled = "SELECT string_agg(DISTINCT tgenabled::text, '') FROM pg_trigger WHERE tgname LIKE '\\_vectorizer%'";
    assert_eq!(to.value(enabled), "A");
    to.execute("SELECT ai.follow_replication('docs', false)");
    assert_eq!(to.value(enabled), "O");
    to.execute("DROP SUBSCRIPTION docs");
}

/// Somebody else's vectorizer stays as it is.
#[test]
fn only_the_owner_has_replication_followed() {
    let notes = Notes::start();
    notes
        .cluster
        .execute("CREATE ROLE other; GRANT USAGE ON SCHEMA ai TO other");
    notes.cluster.execute("SET ROLE other");
    let refusal = notes.cluster.refusal("SELECT ai.follow_replication(1)");
    assert_eq!(refusal, ("42704".to_owned(), "vectorizer 1 does not exist".to_owned()));
    notes
        .cluster
        .execute("RESET ROLE; GRANT pg_monitor TO other; SET ROLE other");
    let refusal = notes.cluster.refusal("SELECT ai.follow_replication(1)");
    assert_eq!(
        refusal,
        (
            "42501".to_owned(),
            "must be owner of the source table of vectorizer 1".to_owned()
        )
    );
}

/// It publishes the tables of the extension as well, and Postgres refuses to delete rows that it could not name.
#[test]
fn a_publication_of_all_tables_is_in_nobodys_way() {
    let notes = Notes::start_with(with_replication);
    notes.cluster.execute("CREATE PUBLICATION everything FOR ALL TABLES");
    add(&notes.cluster, 1, "one");
    add(&notes.cluster, 2, "two");
    wait_for_embedded(&notes.cluster, &["1:one", "2:two"]);
    notes.provider.behave(Behaviour::RejectInput("bad".to_owned()));
    notes.cluster.execute("UPDATE note SET body = 'bad' WHERE id = 1");
    notes
        .cluster
        .wait_for("it has failed", "SELECT count(*) FROM ai.vectorizer_failed", "1");
    notes.cluster.execute("UPDATE note SET body = 'good' WHERE id = 1");
    notes.cluster.execute("UPDATE note SET id = 3 WHERE id = 2");
    wait_for_embedded(&notes.cluster, &["1:good", "3:two"]);
    notes
        .cluster
        .wait_for("its error is gone", "SELECT count(*) FROM ai.vectorizer_errors", "0");
    notes.cluster.execute("DELETE FROM note WHERE id = 3; TRUNCATE note");
    wait_for_embedded(&notes.cluster, &[]);
    notes.cluster.execute("SELECT ai.drop_vectorizer(1, drop_all => true)");
}

/// It has what its primary has, and asks nobody for anything. Promoted, it goes on with what the primary has begun.
#[test]
fn a_standby_follows_and_works_when_it_is_promoted() {
    let mut notes = Notes::start();
    add(&notes.cluster, 1, "one");
    wait_for_embedded(&notes.cluster, &["1:one"]);
    // A provider of its own shows what it asks for.
    let provider = Provider::start();
    let standby = notes.cluster.standby(|options| {
        options
            .env("OPENAI_BASE_URL", provider.base_url())
            .setting("wal_retrieve_retry_interval", "100ms")
            // Postgres tells which processes it knows of, and which it starts.
            .setting("log_min_messages", "debug1")
    });
    assert_eq!(standby.value("SELECT pg_is_in_recovery()"), "t");
    assert_eq!(lines(&standby, "registering background worker \"ai launcher\""), 1);

    add(&notes.cluster, 2, "two");
    wait_for_embedded(&notes.cluster, &["1:one", "2:two"]);
    notes.provider.behave(Behaviour::Hang);
    add(&notes.cluster, 3, "three");
    notes.wait_for_requests_in_flight(1);
    let position = notes.cluster.value("SELECT pg_current_wal_lsn()");
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
    standby.wait_for("the standby has all of it", &replayed, "t");
    assert_eq!(embedded(&standby), ["1:one", "2:two"]);
    let leased = "SELECT count(*) FROM ai._vectorizer_q_1 WHERE lease IS NOT NULL";
    assert_eq!(standby.value(leased), "1");
    for process in ["launcher", "vectorizer"] {
        assert!(reason(&standby, process).contains("the server is in recovery"));
    }
    assert_eq!(lines(&standby, "starting background worker process \"ai "), 0);

    notes.0.cluster.stop(Stop::Immediate);
    assert_eq!(standby.value("SELECT pg_promote()"), "t");
    add(&standby, 4, "four");
    wait_for_embedded(&standby, &["1:one", "2:two", "3:three", "4:four"]);
    assert_eq!(provider.counts().inputs, 2);
    assert_eq!(verified(&standby, "public_note_embedding_store"), [[""; 3]; 0]);
    let log = standby.log();
    let complains = |line: &&str| {
        ["WARNING:", "ERROR:", "FATAL:"]
            .iter()
            .any(|level| line.contains(level))
    };
    let ours = log
        .lines()
        .filter(|line| line.contains(" ai worker[") || line.contains(" ai launcher["));
    assert_eq!(ours.filter(complains).collect::<Vec<_>>(), [""; 0]);
}
