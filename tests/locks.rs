//! What an owner keeps locked is in nobody else's way, however much of it there is and however long it stays so.

mod support;

use std::time::{Duration, Instant};

use provider::Behaviour;
use support::lair::{LAIR, by, lair, vectorize};
use support::{DEADLINE, Scene, wait_until};

/// A commit of ann is embedded within this, on a machine that has other things to do. Each lock of mallory
/// may cost the worker 200 ms at most.
const SOON: Duration = Duration::from_secs(5);

/// A row of ann, which is embedded soon.
#[track_caller]
fn ann_goes_on(scene: &Scene, what: &str, id: usize) {
    by(scene, "ann", &format!("INSERT INTO a.honest VALUES ({id}, 'fine')"));
    let honest = format!("SELECT count(*) FROM a.honest_embedding_store WHERE id = {id}");
    let embedded = || scene.cluster.value(&honest);
    wait_until(&format!("ann's row beside {what}"), SOON, embedded, |count| {
        count == "1"
    });
}

/// A transaction of mallory that stays open.
fn open(scene: &Scene, sql: &str) -> postgres::Client {
    let mut client = scene.cluster.connect().expect("mallory connects");
    client
        .batch_execute(&format!("SET SESSION AUTHORIZATION mallory; BEGIN; {sql}"))
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    client
}

/// What keeps a row of the extension's tables locked that is about a vectorizer.
const HOLDS: [&str; 8] = [
    "SELECT ai.retry_vectorizer('doc')",
    "SELECT ai.disable_vectorizer_schedule('doc')",
    "SELECT ai.execute_vectorizer('doc')",
    "SELECT ai.set_scheduling(ai._vectorizer_id('doc'), ai.scheduling_none())",
    "SELECT ai.follow_replication('doc')",
    "ALTER TABLE m.doc ADD another int",
    "ALTER TABLE m.doc RENAME id TO number",
    "SELECT ai.drop_vectorizer('doc')",
];

/// The worker reads the vectorizers anew, and has something to note about one whose rows are locked.
#[test]
fn notes_about_one_vectorizer_end_no_work_for_others() {
    let scene = lair();
    vectorize(&scene, "ann", "a", "honest");
    vectorize(&scene, "mallory", "m", "doc");
    ann_goes_on(&scene, "nothing", 0);
    let faults = [
        // It cannot be worked on at all.
        "ALTER TABLE m.doc DROP COLUMN IF EXISTS body CASCADE",
        // The database refuses its statements.
        "ALTER TABLE m.doc ADD body text; REVOKE INSERT ON m.doc_embedding_store FROM mallory",
    ];
    let mut id = 0;
    for fault in faults {
        by(&scene, "mallory", fault);
        for hold in HOLDS {
            let mut held = open(&scene, hold);
            id += 1;
            // Of others, whose tables are altered and whose queues fill. Its own, too.
            by(&scene, "ann", &format!("ALTER TABLE a.honest ADD c{id} int"));
            // But where the table itself is locked.
            if !["ALTER", "drop", "follow"].iter().any(|locks| hold.contains(locks)) {
                by(&scene, "mallory", &format!("INSERT INTO m.doc (id) VALUES ({id})"));
            }
            let worker = scene.cluster.wait_for_worker();
            ann_goes_on(&scene, hold, id);
            id += 1;
            by(&scene, "ann", &format!("ALTER TABLE a.honest ADD c{id} int"));
            ann_goes_on(&scene, hold, id);
            assert_eq!(scene.cluster.worker(), Some(worker), "{hold}");
            held.batch_execute("ROLLBACK").unwrap();
        }
    }
    let log = scene.cluster.log();
    for line in ["cannot read the vectorizers", "exited with exit code 1"] {
        assert!(!log.contains(line), "{log}");
    }
    // What could not be noted is noted once the lock is gone.
    by(&scene, "mallory", "INSERT INTO m.doc (id, body) VALUES (1000, 'one')");
    let noted = "SELECT reason FROM ai.worker_status WHERE process = 'vectorizer' AND vectorizer = 'doc'";
    let noted = || scene.cluster.value(noted);
    wait_until("it is noted", DEADLINE, noted, |reason| reason.contains("paused"));
}

/// A lock outlives its session, too.
#[test]
fn a_prepared_transaction_is_in_nobodys_way() {
    let scene = Scene::start_with(|options| options.setting("max_prepared_transactions", "2"));
    scene.cluster.execute(LAIR);
    vectorize(&scene, "ann", "a", "honest");
    vectorize(&scene, "mallory", "m", "doc");
    ann_goes_on(&scene, "nothing", 0);
    by(&scene, "mallory", "ALTER TABLE m.doc DROP COLUMN body CASCADE");
    let mut client = open(&scene, "SELECT ai.retry_vectorizer('doc')");
    client.batch_execute("PREPARE TRANSACTION 'held'").unwrap();
    drop(client);
    let worker = scene.cluster.wait_for_worker();
    for id in 1..4 {
        by(&scene, "ann", &format!("ALTER TABLE a.honest ADD c{id} int"));
        ann_goes_on(&scene, "a prepared transaction", id);
    }
    assert_eq!(scene.cluster.worker(), Some(worker));
    scene.cluster.execute("ROLLBACK PREPARED 'held'");
}

/// A privilege on a server concerns all who wait for one. Their pauses are not that session's.
#[test]
fn an_open_grant_holds_up_no_pause() {
    let scene = lair();
    scene.cluster.execute(
        "CREATE SERVER hers TYPE 'openai' FOREIGN DATA WRAPPER ai_provider OPTIONS (api_key 'env:OPENAI_API_KEY');
         GRANT USAGE ON FOREIGN SERVER hers TO mallory WITH GRANT OPTION",
    );
    vectorize(&scene, "ann", "a", "honest");
    scene.provider.behave(Behaviour::Unauthorized);
    by(&scene, "ann", "INSERT INTO a.honest VALUES (1, 'fine')");
    let paused = "SELECT count(*) FROM ai._vectorizer_state";
    scene.cluster.wait_for("ann's vectorizer is paused", paused, "1");
    for hold in [
        "GRANT USAGE ON FOREIGN SERVER hers TO victim",
        "REVOKE USAGE ON FOREIGN SERVER hers FROM victim",
    ] {
        let mut held = open(&scene, hold);
        scene.provider.behave(Behaviour::Well);
        by(&scene, "ann", "SELECT ai.retry_vectorizer('honest')");
        let settled = "SELECT count(*) FROM ai._vectorizer_state";
        let seen = || scene.cluster.value(settled);
        wait_until(&format!("the pause ends beside {hold}"), SOON, seen, |count| {
            count == "0"
        });
        ann_goes_on(&scene, hold, 100);
        by(&scene, "ann", "DELETE FROM a.honest");
        scene.provider.behave(Behaviour::Unauthorized);
        by(&scene, "ann", "INSERT INTO a.honest VALUES (1, 'fine')");
        scene.cluster.wait_for("and begins", paused, "1");
        held.batch_execute("ROLLBACK").unwrap();
    }
    // It still is what such a pause waits for.
    scene.provider.behave(Behaviour::Well);
    scene
        .cluster
        .execute("REVOKE USAGE ON FOREIGN SERVER ai_openai FROM ann");
    let usage = "SELECT count(*) FROM ai._vectorizer_state WHERE reason LIKE 'permission denied for foreign server%'";
    scene.cluster.wait_for("usage is missed", usage, "1");
    scene.cluster.execute("GRANT USAGE ON FOREIGN SERVER ai_openai TO ann");
    let seen = || scene.cluster.value(paused);
    wait_until("usage is there", SOON, seen, |count| count == "0");
}

/// Each of them is a table that the worker would wait for.
#[test]
fn two_hundred_locked_queues_cost_others_nothing() {
    const QUEUES: usize = 100;
    let scene = lair();
    vectorize(&scene, "ann", "a", "honest");
    by(
        &scene,
        "mallory",
        &format!(
            "DO $$ BEGIN
                 FOR n IN 1..{QUEUES} LOOP
                     EXECUTE format('CREATE TABLE m.t%s (id int PRIMARY KEY, body text)', n);
                     PERFORM ai.create_vectorizer(format('m.t%s', n)::regclass, name => 't' || n,
                         loading => ai.loading_column('body'),
                         embedding => ai.embedding_openai('text-embedding-3-small', 4));
                 END LOOP;
             END $$"
        ),
    );
    ann_goes_on(&scene, "nothing", 0);
    let mut id = 0;
    for what in ["queue", "queue_failed", "intake", "source", "target"] {
        let mut held = open(
            &scene,
            &format!(
                "DO $$ DECLARE t regclass; BEGIN
                     FOR n IN 1..{QUEUES} LOOP
                         EXECUTE format('INSERT INTO m.t%s VALUES (%s, ''one'')', n, {id});
                     END LOOP;
                 END $$; COMMIT; BEGIN;
                 DO $$ DECLARE v record; BEGIN
                     FOR v IN SELECT format('%s', {what}) AS t FROM ai._seen_vectorizer ORDER BY id LOOP
                         EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', v.t);
                     END LOOP;
                 END $$"
            ),
        );
        by(&scene, "ann", "ALTER TABLE a.honest ALTER body SET STATISTICS 100");
        let worker = scene.cluster.wait_for_worker();
        for _ in 0..5 {
            id += 1;
            ann_goes_on(&scene, &format!("{QUEUES} locked: {what}"), id);
        }
        assert_eq!(scene.cluster.worker(), Some(worker), "{what}");
        held.batch_execute("ROLLBACK").unwrap();
    }
    // Nothing is lost by it.
    let pending = "SELECT coalesce(sum(ai.vectorizer_queue_pending(v.id)), 0) FROM ai.vectorizer v";
    scene.cluster.wait_for("all is embedded", pending, "0");
}

/// A configuration that lags behind its table, which the worker has to follow, and whose row another
/// transaction has locked.
#[test]
fn names_of_one_vectorizer_that_cannot_be_followed_end_no_start_of_the_worker() {
    let scene = lair();
    vectorize(&scene, "ann", "a", "honest");
    let mut old = open(&scene, "SELECT 1");
    old.batch_execute("COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class")
        .expect("an old view of the data");
    vectorize(&scene, "mallory", "m", "doc");
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (1, 'hers')");
    let hers = "SELECT count(*) FROM m.doc_embedding_store";
    scene.cluster.wait_for("her row", hers, "1");
    let gone = || scene.cluster.worker().is_none();
    wait_until("no worker", DEADLINE, gone, |gone| *gone);
    let mut hold = scene.cluster.connect().expect("mallory connects");
    old.batch_execute("ALTER TABLE m.doc RENAME COLUMN body TO words; COMMIT")
        .expect("a column is renamed");
    hold.batch_execute("SET SESSION AUTHORIZATION mallory; BEGIN; SELECT ai.disable_vectorizer_schedule('doc')")
        .expect("a row is locked");
    for id in 1..4 {
        ann_goes_on(&scene, "a row that is locked", id);
        wait_until("no worker", DEADLINE, gone, |gone| *gone);
    }
    assert!(
        !scene.cluster.log().contains("cannot read the vectorizers"),
        "{}",
        scene.cluster.log()
    );
    hold.batch_execute("ROLLBACK").expect("the row is free");
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (2, 'hers')");
    scene.cluster.wait_for("her next row", hers, "2");
}

/// A lock that comes between the taking of a document and its reading is in the way of giving it back, too.
/// It is in nobody's hands then, and not for the minute of a lease.
#[test]
fn a_document_that_could_not_be_given_back_is_taken_again_soon() {
    // For a worker that stays, and for the one that comes after it.
    for idle in ["1h", "100ms"] {
        let scene = Scene::start_with(|options| options.setting("ai.idle_timeout", idle));
        scene.cluster.execute(LAIR);
        vectorize(&scene, "ann", "a", "honest");
        scene.cluster.execute(
            "CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
             GRANT EXECUTE ON FUNCTION nap() TO ann",
        );
        by(
            &scene,
            "ann",
            "CREATE TRIGGER nap AFTER UPDATE ON ai._vectorizer_q_1 FOR EACH ROW EXECUTE FUNCTION nap();
             INSERT INTO a.honest VALUES (1, 'one')",
        );
        let asleep =
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ai worker' AND wait_event = 'PgSleep'";
        scene.cluster.wait_for("the worker takes it", asleep, "1");
        // Behind that, and before all that follows.
        let mut session = scene.cluster.connect().expect("another session");
        session
            .batch_execute("BEGIN; LOCK TABLE ai._vectorizer_q_1 IN ACCESS EXCLUSIVE MODE")
            .expect("the lock");
        let leased = "SELECT count(*) FROM ai._vectorizer_q_1 WHERE lease IS NOT NULL";
        let leased: i64 = session.query_one(leased, &[]).expect("a row").get(0);
        assert_eq!(leased, 1, "it was taken");
        // Longer than the worker waits for the lock, with each of its statements.
        std::thread::sleep(Duration::from_secs(2));
        session.batch_execute("COMMIT").expect("the lock is given back");
        by(&scene, "ann", "DROP TRIGGER nap ON ai._vectorizer_q_1");
        let began = Instant::now();
        let there = "SELECT count(*) FROM a.honest_embedding_store";
        scene.cluster.wait_for("it is embedded", there, "1");
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{idle}: {:?}",
            began.elapsed()
        );
    }
}

/// What stays open in a transaction of mallory and makes, renames or drops something of a vectorizer.
const DDL: [&str; 7] = [
    "CREATE TABLE m.three (id int PRIMARY KEY, body text);
     SELECT ai.create_vectorizer('m.three', name => 'three', loading => ai.loading_column('body'), grant_to => ai.grant_to('public'),
         destination => ai.destination_table('three', view_schema => 'public', view_name => 'three'),
         embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    "CREATE TABLE m.two (id int PRIMARY KEY, body text);
     SELECT ai.create_vectorizer('m.two', name => 'two', loading => ai.loading_column('body'),
         embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    "ALTER TABLE m.doc RENAME TO other",
    "SELECT ai.follow_replication('doc')",
    "CREATE TABLE m.part_b PARTITION OF m.part FOR VALUES FROM (10) TO (20)",
    "ALTER TABLE m.part RENAME TO other",
    "SELECT ai.drop_vectorizer('doc')",
];

/// All share the extension: a lock on that would be in the way of everybody's DDL, and of who waits for theirs.
#[test]
fn an_open_alteration_of_one_owner_holds_up_no_alteration_of_another() {
    let scene = lair();
    scene.cluster.execute("GRANT CREATE ON SCHEMA public TO mallory, ann");
    vectorize(&scene, "ann", "a", "honest");
    vectorize(&scene, "mallory", "m", "doc");
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.part (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
         CREATE TABLE m.part_a PARTITION OF m.part FOR VALUES FROM (0) TO (10);
         SELECT ai.create_vectorizer('m.part', name => 'part', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
    by(
        &scene,
        "ann",
        "CREATE TABLE a.part (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
         SELECT ai.create_vectorizer('a.part', name => 'of_ann', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
    for (round, ddl) in DDL.iter().enumerate() {
        let mut held = open(&scene, ddl);
        let others = [
            format!(
                "CREATE TABLE a.new{round} (id int PRIMARY KEY, body text);
                 SELECT ai.create_vectorizer('a.new{round}', name => 'new{round}', loading => ai.loading_column('body'),
                     grant_to => ai.grant_to('public'),
                     destination => ai.destination_table('new{round}', view_schema => 'public', view_name => 'new{round}'),
                     embedding => ai.embedding_openai('text-embedding-3-small', 4))"
            ),
            format!("ALTER TABLE a.honest RENAME TO honest{round}"),
            format!("ALTER TABLE a.honest{round} RENAME TO honest"),
            format!("CREATE TABLE a.part{round} PARTITION OF a.part FOR VALUES FROM ({round}0) TO ({round}9)"),
            format!("SELECT ai.follow_replication('new{round}')"),
            format!("SELECT ai.drop_vectorizer('new{round}')"),
        ];
        for sql in others {
            by(
                &scene,
                "ann",
                &format!("SET statement_timeout = '5s'; {sql}; RESET statement_timeout"),
            );
        }
        held.batch_execute("ROLLBACK").unwrap();
    }
}

/// To follow a schema concerns all: what mallory holds is left for later, as what is not theirs to wait for.
#[test]
fn a_schema_is_altered_whatever_an_owner_keeps_locked() {
    let scene = lair();
    vectorize(&scene, "ann", "a", "honest");
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.part (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
         CREATE TABLE m.part_a PARTITION OF m.part FOR VALUES FROM (0) TO (10);
         SELECT ai.create_vectorizer('m.part', name => 'part', loading => ai.loading_column('body'), queue_schema => 'm',
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         CREATE TABLE m.other (x int);
         CREATE TRIGGER zz AFTER TRUNCATE ON m.other FOR EACH STATEMENT EXECUTE FUNCTION m._vectorizer_src_trg_2()",
    );
    // What the extension makes anew for all.
    let forged =
        "CREATE OR REPLACE FUNCTION m._vectorizer_src_trg_2() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
                      'BEGIN RETURN NULL; END'";
    let body = "SELECT length(prosrc) > 100 FROM pg_proc WHERE oid = 'm._vectorizer_src_trg_2'::regproc";
    scene
        .cluster
        .execute("CREATE SCHEMA apart; CREATE SCHEMA of_ann AUTHORIZATION ann");
    let holds = [
        "LOCK TABLE m.other IN ROW EXCLUSIVE MODE",
        "CREATE OR REPLACE FUNCTION m._vectorizer_src_trg_2() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
             'BEGIN RETURN OLD; END'",
        "DROP FUNCTION m._vectorizer_src_trg_2() CASCADE",
        "LOCK TABLE m.part_a; LOCK TABLE m.part",
        "SELECT ai.disable_vectorizer_schedule('part')",
    ];
    scene.cluster.execute("SET statement_timeout = '5s'");
    for (round, hold) in holds.iter().enumerate() {
        by(&scene, "mallory", forged);
        let mut held = open(&scene, hold);
        for schema in ["apart", "of_ann", "a"] {
            let renames = format!("ALTER SCHEMA {schema} RENAME TO other; ALTER SCHEMA other RENAME TO {schema}");
            scene.cluster.execute(&renames);
        }
        ann_goes_on(&scene, hold, 100 + round);
        held.batch_execute("ROLLBACK").unwrap();
        // Once it is free, it is as it is to be.
        scene.cluster.wait_for("the function is made anew", body, "t");
    }
    // What uses the function, on a table that never was a part, is not the extension's to drop.
    let trigger = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'm.other'::regclass AND tgname = 'zz'";
    scene.cluster.execute("ALTER SCHEMA apart RENAME TO far");
    assert_eq!(scene.cluster.value(trigger), "1");
    // Its own triggers on what has left go.
    by(&scene, "mallory", "ALTER TABLE m.part DETACH PARTITION m.part_a");
    let left = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'm.part_a'::regclass";
    assert_eq!(scene.cluster.value(left), "0");
}
