//! Hundreds of vectorizers in a database: what concerns one of them costs as much as one, and nobody waits for all.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::lair::{LAIR, by, vectorize};
use support::{Cluster, Scene, wait_until};

const VECTORIZERS: usize = 300;

/// A crowd of one owner, and a table of somebody else.
fn crowd() -> Scene {
    let scene = Scene::start_with(|options| options.setting("ai.idle_timeout", "1h").setting("fsync", "off"));
    let cluster = &scene.cluster;
    cluster.execute(
        "CREATE ROLE mallory; CREATE SCHEMA m AUTHORIZATION mallory; GRANT USAGE ON FOREIGN SERVER ai_openai TO mallory;
         CREATE TABLE witness (id int PRIMARY KEY, body text)",
    );
    cluster.execute(
        "SELECT ai.create_vectorizer('witness', name => 'witness', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
    let mut session = cluster.connect().expect("a session");
    session
        .batch_execute("SET SESSION AUTHORIZATION mallory")
        .expect("mallory");
    session
        .batch_execute(&format!(
            "DO $$ BEGIN
                 FOR n IN 1..{VECTORIZERS} LOOP
                     EXECUTE format('CREATE TABLE m.t%s (id int PRIMARY KEY, body text)', n);
                     PERFORM ai.create_vectorizer(to_regclass('m.t' || n), name => 't' || n,
                         loading => ai.loading_column('body'), embedding => ai.embedding_openai('text-embedding-3-small', 4));
                     COMMIT;
                 END LOOP;
             END $$"
        ))
        .expect("a crowd");
    scene
}

/// How long until a new row of the witness is embedded.
#[track_caller]
fn embed_one(cluster: &Cluster, id: usize) -> Duration {
    let began = Instant::now();
    cluster.execute(&format!("INSERT INTO witness VALUES ({id}, 'row {id}')"));
    let embedded = format!("SELECT count(*) FROM witness_embedding_store WHERE id = {id}");
    cluster.wait_for("the witness is embedded", &embedded, "1");
    began.elapsed()
}

#[test]
fn nobody_waits_for_all_vectorizers_of_another() {
    let scene = crowd();
    let cluster = &scene.cluster;
    cluster.execute("INSERT INTO m.t1 VALUES (1, 'one'); INSERT INTO m.t300 VALUES (1, 'one')");
    let crowd = "SELECT (SELECT count(*) FROM m.t1_embedding_store) + (SELECT count(*) FROM m.t300_embedding_store)";
    cluster.wait_for("the crowd is served", crowd, "2");
    embed_one(cluster, 0);

    let mut session = cluster.connect().expect("a session");
    let pid: i32 = session.query_one("SELECT pg_backend_pid()", &[]).expect("a row").get(0);
    // On a processor, whatever else the machine does.
    let worked = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("the session is there");
        let nanoseconds = stat.split(' ').next().and_then(|first| first.parse().ok());
        Duration::from_nanos(nanoseconds.expect("the time on a processor comes first"))
    };
    for view in ["ai.worker_status", "ai.vectorizer_status"] {
        let mut look = || {
            let began = worked();
            let row = session.query_one(
                &format!("SELECT count(*) FROM (SELECT * FROM {view} OFFSET 0) AS v"),
                &[],
            );
            let number: i64 = row.expect("a row").get(0);
            assert!(number >= i64::try_from(VECTORIZERS).expect("a few"), "{view}");
            worked() - began
        };
        let took = (0..3).map(|_| look()).min().expect("three looks");
        println!("{view}: {took:?}");
        assert!(took < Duration::from_millis(500), "{view} takes {took:?}");
    }

    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for attack in [
            "SELECT ai.execute_vectorizer(id) FROM ai.vectorizer WHERE name LIKE 't%'",
            "DO $$ DECLARE v int; BEGIN FOR v IN SELECT id FROM ai.vectorizer WHERE name LIKE 't%' LOOP
                 PERFORM ai.execute_vectorizer(v); COMMIT; END LOOP; END $$",
            "DO $$ BEGIN FOR n IN 1..100 LOOP
                 EXECUTE format('ALTER TABLE m.t%s ALTER body SET STATISTICS %s', n, n); COMMIT; END LOOP; END $$",
        ] {
            done.store(false, Ordering::Release);
            let attacker = scope.spawn(|| {
                let mut session = cluster.connect().expect("a session");
                session
                    .batch_execute("SET SESSION AUTHORIZATION mallory")
                    .expect("mallory");
                let mut times = 0;
                while !done.load(Ordering::Acquire) {
                    session.batch_execute(attack).expect("nothing is refused");
                    times += 1;
                }
                times
            });
            let base = attack.len() * 1000;
            let mut waits: Vec<Duration> = (1..=8).map(|n| embed_one(cluster, base + n)).collect();
            done.store(true, Ordering::Release);
            let times = attacker.join().expect("the attacker ends");
            waits.sort();
            println!("{attack}: {times} times, {waits:?}");
            // Of a machine that does other things, too: most of them, and not each.
            assert!(
                waits[waits.len() * 3 / 4] < Duration::from_secs(1),
                "{attack}: {waits:?}"
            );
        }
    });
    let settled = || cluster.value("SELECT count(*) FROM ai._vectorizer_run");
    wait_until("nothing is left to run", support::DEADLINE, settled, |left| {
        left.parse::<usize>().is_ok_and(|left| left <= VECTORIZERS)
    });
}

/// Rows that an owner may write into a queue: as many as she likes, all of which are said to have killed
/// three processes.
#[test]
fn suspects_of_a_dead_worker_are_moved_aside_beside_other_work() {
    const SUSPECTS: usize = 40_000;
    let scene = Scene::start_with(|options| options.setting("ai.idle_timeout", "100ms").setting("fsync", "off"));
    let cluster = &scene.cluster;
    for table in ["forged", "witness"] {
        cluster.execute(&format!("CREATE TABLE {table} (id int PRIMARY KEY, body text)"));
        cluster.execute(&format!(
            "SELECT ai.create_vectorizer('{table}', name => '{table}', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 4))"
        ));
    }
    let worker = || cluster.worker();
    wait_until("the worker has left", support::DEADLINE, worker, Option::is_none);
    cluster.execute(&format!(
        "INSERT INTO ai._vectorizer_q_1 (id, crashes) SELECT n, 3 FROM generate_series(1, {SUSPECTS}) AS n"
    ));
    embed_one(cluster, 1);
    let moved: usize = cluster
        .value("SELECT count(*) FROM ai._vectorizer_q_failed_1")
        .parse()
        .expect("a count");
    assert!(moved < SUSPECTS, "the witness has waited until all {moved} were moved");
    let left =
        || cluster.rows("SELECT count(*), (SELECT count(*) FROM ai._vectorizer_q_failed_1) FROM ai._vectorizer_q_1");
    let all = [["0".to_owned(), SUSPECTS.to_string()]];
    wait_until("all are moved", 4 * support::DEADLINE, left, |rows| rows[..] == all);
    let noted = "SELECT count(*) FROM ai.vectorizer_errors
                 WHERE name = 'forged' AND failure_class = 'permanent' AND primary_key IS NOT NULL AND details ->> 'error_reason' LIKE '%died 3 times%'";
    assert_eq!(cluster.value(noted), SUSPECTS.to_string());
    // What a change makes of one is work again.
    cluster.execute("INSERT INTO forged VALUES (1, 'one')");
    cluster.wait_for("embedded", "SELECT count(*) FROM forged_embedding_store", "1");
}

/// Ids are of 32 bits, and a loop of calls that fail would have used them up within weeks.
#[test]
fn refused_calls_use_up_no_ids() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE TABLE doc (id int PRIMARY KEY, body text)");
    let create = |name: &str, more: &str| {
        format!(
            "SELECT ai.create_vectorizer('doc', name => '{name}', loading => ai.loading_column('body'),
                 destination => ai.destination_table('{name}'), embedding => ai.embedding_openai('text-embedding-3-small', 4){more})"
        )
    };
    let first = cluster.value(&create("one", ""));
    for more in [
        ", chunking => ai.chunking_recursive_character_text_splitter(0)",
        ", scheduling => ai.scheduling_timescaledb('0 s')",
        ", formatting => ai.formatting_python_template('nothing')",
        ", queue_table => 'doc', queue_schema => 'public'",
        ", processing => '{}'",
    ] {
        cluster.refusal(&create("two", more));
    }
    cluster.refusal(&create("one", ""));
    cluster.refusal(&create("Two", ""));
    let second = cluster.value(&create("two", ""));
    assert_eq!((first.as_str(), second.as_str()), ("1", "2"));
    // Those that are rolled back do; at the end the free ones come again.
    cluster.execute("SELECT setval('ai.vectorizer_id_seq', 2147483646)");
    assert_eq!(cluster.value(&create("last", "")), "2147483647");
    assert_eq!(cluster.value(&create("anew", "")), "3");
    cluster.execute("INSERT INTO doc VALUES (1, 'one')");
    for name in ["one", "two", "last", "anew"] {
        cluster.wait_for(name, &format!("SELECT count(*) FROM {name}_store"), "1");
    }
}

/// The worker looks below the domains of a column, however deep an owner nests them.
#[test]
fn domains_over_domains_hold_nobody_up() {
    let scene = Scene::start();
    scene.cluster.execute(LAIR);
    vectorize(&scene, "ann", "a", "honest");
    by(
        &scene,
        "mallory",
        "CREATE DOMAIN m.d0 AS int;
         DO $$ BEGIN FOR n IN 1..2000 LOOP EXECUTE format('CREATE DOMAIN m.d%s AS m.d%s', n, n - 1); END LOOP; END $$;
         CREATE TABLE m.deep (id int PRIMARY KEY, body text);
         DO $$ BEGIN
             EXECUTE (SELECT 'ALTER TABLE m.deep ' || string_agg('ADD c' || g || ' m.d2000', ', ') FROM generate_series(1, 1500) g);
         END $$;
         SELECT ai.create_vectorizer('m.deep', name => 'deep', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
    by(&scene, "mallory", "INSERT INTO m.deep (id, body) VALUES (1, 'one')");
    let embedded = "SELECT count(*) FROM m.deep_embedding_store";
    scene.cluster.wait_for("it is served", embedded, "1");
    let mut waits = Vec::new();
    for id in 1..=8 {
        by(&scene, "mallory", "SELECT ai.retry_vectorizer('deep')");
        by(
            &scene,
            "mallory",
            &format!("ALTER TABLE m.deep ALTER body SET STATISTICS {id}"),
        );
        let began = Instant::now();
        by(&scene, "ann", &format!("INSERT INTO a.honest VALUES ({id}, 'fine')"));
        let honest = format!("SELECT count(*) FROM a.honest_embedding_store WHERE id = {id}");
        scene.cluster.wait_for("ann's row", &honest, "1");
        waits.push(began.elapsed());
    }
    // It was half a minute, each time.
    waits.sort();
    assert!(waits[4] < Duration::from_secs(5), "{waits:?}");
}
