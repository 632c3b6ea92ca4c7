//! Those who look at the views run nothing of the owners, whatever these put on their queues, and wait for
//! none of them.

mod support;

use std::time::{Duration, Instant};

use support::lair::{assert_only_mallory, by, lair, vectorize};
use support::{DEADLINE, Scene, wait_until};

const VIEWS: [&str; 5] = [
    "ai.vectorizer",
    "ai.vectorizer_status",
    "ai.vectorizer_errors",
    "ai.vectorizer_failed",
    "ai.worker_status",
];

/// `m.look`, which notes in whose session it runs; a member of `pg_monitor`, and a superuser.
fn with_watchers() -> Scene {
    let scene = lair();
    scene
        .cluster
        .execute("CREATE ROLE watcher IN ROLE pg_monitor; CREATE ROLE boss SUPERUSER");
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.seen (session name, trap text);
         GRANT INSERT ON m.seen TO PUBLIC;
         CREATE FUNCTION m.note_session(trap text) RETURNS void LANGUAGE sql AS
             $$ INSERT INTO m.seen VALUES (session_user, trap) $$;
         CREATE FUNCTION m.look(trap text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$
         BEGIN
             PERFORM m.note_session(trap);
             RETURN true;
         END $$",
    );
    scene
}

fn look(scene: &Scene, trap: &str) {
    for watcher in ["watcher", "boss"] {
        for view in VIEWS {
            // With the settings that make the planner look at most.
            scene
                .cluster
                .try_rows(&format!(
                    "SET SESSION AUTHORIZATION {watcher}; SET constraint_exclusion = on; SELECT * FROM {view}"
                ))
                .unwrap_or_else(|error| panic!("{trap}: {view} as {watcher}: {error:?}"));
            scene.cluster.execute("RESET ALL; RESET SESSION AUTHORIZATION");
        }
    }
    let seen = "SELECT DISTINCT session || ' by ' || trap FROM m.seen WHERE session IN ('watcher', 'boss')";
    assert_eq!(scene.cluster.column(seen), [""; 0], "{trap}");
}

#[test]
fn a_look_at_the_views_runs_nothing_that_was_put_on_a_queue() {
    let scene = with_watchers();
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.doc (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('m.doc', name => 'doc', queue_schema => 'm', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         INSERT INTO m.doc VALUES (1, 'one'), (2, 'two');
         INSERT INTO m._vectorizer_q_failed_1 (id, reason) VALUES (3, 'forged')",
    );
    let traps = [
        "ALTER TABLE {t} ENABLE ROW LEVEL SECURITY; ALTER TABLE {t} FORCE ROW LEVEL SECURITY;
         CREATE POLICY trap ON {t} USING (m.look('{trap}'))",
        "CREATE INDEX ON {t} (id) WHERE m.look('{trap}')",
        "CREATE INDEX ON {t} ((m.look('{trap}')), id)",
        "CREATE STATISTICS m.s{n} ON (m.look('{trap}')), id FROM {t}",
        "ALTER TABLE {t} ADD CHECK (m.look('{trap}'))",
        "ALTER TABLE {t} ADD x{n} bool GENERATED ALWAYS AS (m.look('{trap}')) STORED",
        "CREATE TABLE m.child{n} () INHERITS ({t});
         CREATE INDEX ON m.child{n} (id) WHERE m.look('{trap}')",
        "CREATE RULE trap AS ON DELETE TO {t} DO ALSO SELECT m.look('{trap}')",
        "CREATE DOMAIN m.d{n} AS int; ALTER TABLE {t} ALTER id TYPE m.d{n};
         ALTER DOMAIN m.d{n} ADD CHECK (m.look('{trap}'))",
        "CREATE TYPE m.e{n} AS ENUM ('1', '2', '3', '7');
         CREATE FUNCTION m.e{n}_json(m.e{n}) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
             BEGIN PERFORM m.look('{trap}'); RETURN to_json(1); END $$;
         CREATE CAST (m.e{n} AS json) WITH FUNCTION m.e{n}_json(m.e{n});
         CREATE FUNCTION m.e{n}_eq(m.e{n}, m.e{n}) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$
             BEGIN PERFORM m.look('{trap}'); RETURN true; END $$;
         CREATE OPERATOR m.= (LEFTARG = m.e{n}, RIGHTARG = m.e{n}, FUNCTION = m.e{n}_eq);
         ALTER TABLE {t} ALTER id TYPE m.e{n} USING id::text::m.e{n}",
    ];
    let mut number = 0;
    for trap in traps {
        for table in ["_vectorizer_q_1", "_vectorizer_q_failed_1", "_vectorizer_intake_1"] {
            number += 1;
            let name = format!("trap {number} on {table}");
            let laid = trap
                .replace("{t}", &format!("m.{table}"))
                .replace("{n}", &number.to_string())
                .replace("{trap}", &name);
            // All of them stay: the last ones are looked at together.
            if let Err(error) = scene
                .cluster
                .try_rows(&format!("SET SESSION AUTHORIZATION mallory; {laid}"))
            {
                panic!("{name}: {laid}: {error:?}");
            }
            scene.cluster.execute("RESET SESSION AUTHORIZATION");
            look(&scene, &name);
        }
    }
    assert_only_mallory(&scene, "a look at the views");
}

/// What she made of the columns breaks no view, and says so.
#[test]
fn no_owner_breaks_a_view_for_others() {
    let scene = with_watchers();
    vectorize(&scene, "ann", "a", "honest");
    let breaks = [
        "ALTER TABLE ai._vectorizer_q_failed_{n} ALTER reason DROP NOT NULL;
         INSERT INTO ai._vectorizer_q_failed_{n} (id, reason) VALUES (1, NULL)",
        "ALTER TABLE ai._vectorizer_q_failed_{n} ALTER failure_step TYPE bytea USING NULL, ALTER failure_step DROP NOT NULL",
        "INSERT INTO ai._vectorizer_q_failed_{n} (id, created_at, reason) VALUES (1, 'infinity', repeat('x', 100000000))",
        "ALTER TABLE ai._vectorizer_q_failed_{n} DROP COLUMN id",
        "ALTER TABLE ai._vectorizer_q_{n} DROP COLUMN id",
        "ALTER TABLE ai._vectorizer_q_{n} ALTER loading_retry_after TYPE text",
        "ALTER TABLE ai._vectorizer_q_{n} ALTER lease TYPE text",
        "INSERT INTO ai._vectorizer_q_{n} (id, loading_retry_after) VALUES (1, 'infinity')",
        "ALTER TABLE ai._vectorizer_intake_{n} RENAME id TO other",
        "ALTER TABLE ai._vectorizer_intake_{n} ALTER id TYPE bytea USING NULL",
        "ALTER TABLE ai._vectorizer_q_{n} RENAME TO q; CREATE VIEW m._vectorizer_q_{n} AS SELECT 1",
        "ALTER TABLE m.doc{n} DROP COLUMN id CASCADE",
    ];
    for (index, broken) in breaks.iter().enumerate() {
        let n = (index + 2).to_string();
        vectorize(&scene, "mallory", "m", &format!("doc{n}"));
        // Where Postgres or the extension refuses it, there is nothing to be seen.
        let _ = scene.cluster.try_rows(&format!(
            "SET SESSION AUTHORIZATION mallory; {}",
            broken.replace("{n}", &n)
        ));
        scene.cluster.execute("RESET SESSION AUTHORIZATION");
        look(&scene, broken);
        let honest = "SELECT count(*) FROM ai.vectorizer_status WHERE name = 'honest' AND pending_items = 0";
        assert_eq!(scene.cluster.value(honest), "1", "{broken}");
    }
    let silent =
        "SELECT string_agg(s.name, ' ') FROM ai.vectorizer_status s JOIN ai.worker_status w ON w.vectorizer = s.name
                  WHERE s.pending_items IS NULL AND w.reason IS NULL";
    assert_eq!(
        scene.cluster.value(silent),
        "NULL",
        "what cannot be counted has a reason"
    );
    let altered = "SELECT count(*) FROM ai.vectorizer_status WHERE pending_items IS NULL";
    assert_ne!(scene.cluster.value(altered), "0");
}

/// Her queues are under a lock that she does not give back.
#[test]
fn no_owner_has_a_view_wait() {
    let scene = with_watchers();
    for n in 1..=30 {
        vectorize(&scene, "mallory", "m", &format!("doc{n}"));
    }
    vectorize(&scene, "ann", "a", "honest");
    let mut hers = scene.cluster.connect().expect("the server takes connections");
    let mut open = hers.transaction().expect("a transaction begins");
    for n in 1..=30 {
        open.batch_execute(&format!(
            "LOCK TABLE ai._vectorizer_q_{n}, ai._vectorizer_q_failed_{n}, ai._vectorizer_intake_{n} IN ACCESS EXCLUSIVE MODE"
        ))
        .expect("her own tables");
    }
    let locked = "SELECT count(*) FROM ai.vectorizer_status WHERE pending_items IS NULL";
    let began = Instant::now();
    assert_eq!(scene.cluster.value(locked), "30");
    look(&scene, "a lock");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let reason = "SELECT DISTINCT reason FROM ai.worker_status WHERE vectorizer LIKE 'doc%' AND reason LIKE '%locked%'";
    assert_eq!(
        scene.cluster.column(reason),
        ["its queue is locked by another transaction"]
    );
    open.rollback().expect("it ends");
    wait_until(
        "all are counted",
        DEADLINE,
        || scene.cluster.value(locked),
        |count| count == "0",
    );
}
