//! Cursors of a session, while code of others runs in it: an owner's code in the session of an administrator, and the
//! caller's own between two rows of an answer. Who knows the name of a cursor reads, moves and closes it.

mod support;

use support::Scene;
use support::lair::{by, lair, vectorize};

/// How many rows the administrator has that mallory may not read.
const SECRETS: &str = "30";

/// Mallory tries all that can be done to a cursor by its name, and takes what she gets. `m.rob` gives nothing
/// away of what was refused; `m.fail` lets it through.
const ROBBER: &str = "
    CREATE TABLE m.loot (t text);
    CREATE TABLE m.tried (t text);
    CREATE FUNCTION m.take(name text) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        c refcursor := name;
        taken record;
    BEGIN
        BEGIN
            LOOP
                FETCH c INTO taken;
                EXIT WHEN NOT FOUND;
                INSERT INTO m.loot VALUES (taken::text);
            END LOOP;
        EXCEPTION WHEN OTHERS THEN INSERT INTO m.tried VALUES ('FETCH: ' || SQLERRM);
        END;
        BEGIN
            MOVE FORWARD ALL FROM c;
        EXCEPTION WHEN OTHERS THEN INSERT INTO m.tried VALUES ('MOVE: ' || SQLERRM);
        END;
        BEGIN
            CLOSE c;
            INSERT INTO m.loot VALUES ('closed ' || name);
        EXCEPTION WHEN OTHERS THEN INSERT INTO m.tried VALUES ('CLOSE: ' || SQLERRM);
        END;
    END $$;
    CREATE FUNCTION m.take_all() RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        name text;
        names text[] := ARRAY(
            SELECT '<unnamed portal ' || n || '>' FROM generate_series(1, 40) n
            UNION SELECT unnest('{kept,held}'::text[])
            UNION SELECT p.name FROM pg_cursors p);
    BEGIN
        FOREACH name IN ARRAY names LOOP
            PERFORM m.take(name);
        END LOOP;
        BEGIN
            EXECUTE 'CLOSE ALL';
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END $$;
    CREATE FUNCTION m.rob() RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM m.take_all(); RETURN true; END $$;
    CREATE FUNCTION m.robbed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM m.take_all(); RETURN NEW; END $$;
    CREATE FUNCTION m.move() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE 'MOVE FORWARD ALL FROM kept';
    EXCEPTION WHEN invalid_cursor_name THEN NULL;
    END $$;
    CREATE FUNCTION m.fail() RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM m.move(); RETURN true; END $$";

/// The administrator goes through a table that nobody else may read, with a cursor of each kind open, and
/// calls `call` at the first row: how many rows were seen by each.
fn inventory(scene: &Scene, call: &str) -> Vec<String> {
    scene.cluster.execute(
        "DROP TABLE IF EXISTS admin_inventory, seen;
         CREATE TABLE admin_inventory AS SELECT 'secret ' || n AS secret FROM generate_series(1, 30) n;
         CREATE TABLE seen (by text, rows bigint)",
    );
    scene.cluster.execute(&format!(
        "BEGIN;
         DECLARE kept CURSOR FOR SELECT secret FROM admin_inventory;
         DECLARE held CURSOR WITH HOLD FOR SELECT secret FROM admin_inventory;
         DO $do$
         DECLARE
             r record;
             n int := 0;
             c refcursor := 'kept';
         BEGIN
             FOR r IN SELECT secret FROM admin_inventory LOOP
                 n := n + 1;
                 IF n = 1 THEN
                     {call};
                 END IF;
             END LOOP;
             INSERT INTO seen VALUES ('loop', n);
             MOVE FORWARD ALL FROM c;
             GET DIAGNOSTICS n = ROW_COUNT;
             INSERT INTO seen VALUES ('cursor', n);
             c := 'held';
             MOVE FORWARD ALL FROM c;
             GET DIAGNOSTICS n = ROW_COUNT;
             INSERT INTO seen VALUES ('held', n);
         END $do$;
         COMMIT;
         CLOSE held"
    ));
    scene.cluster.column("SELECT rows FROM seen ORDER BY by")
}

#[test]
fn code_of_an_owner_reaches_no_cursor_of_the_session() {
    let scene = lair();
    vectorize(&scene, "mallory", "m", "doc");
    by(&scene, "mallory", ROBBER);
    by(
        &scene,
        "mallory",
        "INSERT INTO m.doc VALUES (1, 'one');
         CREATE TABLE m.more (id int PRIMARY KEY, body text)",
    );
    scene.cluster.wait_until_settled();
    by(
        &scene,
        "mallory",
        "CREATE INDEX ON m.doc (id) WHERE m.rob();
         CREATE INDEX ON m.more (id) WHERE m.rob();
         CREATE TRIGGER robbed BEFORE INSERT OR UPDATE ON ai._vectorizer_q_1 FOR EACH ROW EXECUTE FUNCTION m.robbed();
         INSERT INTO ai._vectorizer_q_failed_1 (id, failure_step) VALUES (1, 'embedding')",
    );
    let more = "PERFORM ai.create_vectorizer('m.more', name => 'more', loading => ai.loading_column('body'),
                    embedding => ai.embedding_openai('text-embedding-3-small', 4))";
    for call in [
        "PERFORM count(*) FROM ai.verify_vectorizer('doc')",
        "PERFORM count(*) FROM ai.verify_vectorizer('doc', repair => true)",
        "PERFORM ai.retry_vectorizer('doc')",
        more,
        "PERFORM ai.drop_vectorizer('more')",
    ] {
        by(&scene, "mallory", "TRUNCATE m.loot, m.tried");
        assert_eq!(inventory(&scene, call), [SECRETS; 3], "{call}");
        assert_eq!(scene.cluster.column("SELECT t FROM m.loot"), [""; 0], "{call}");
        if call.contains("verify") {
            let tried = "SELECT count(*) > 0 FROM m.tried WHERE t LIKE 'FETCH: portal % cannot be run'";
            assert_eq!(scene.cluster.value(tried), "t", "{call}");
        }
    }
}

/// What is refused fails the statement of the administrator, who goes on as if it had not been called.
#[test]
fn cursors_are_what_they_were_after_code_of_an_owner_has_failed() {
    let scene = lair();
    vectorize(&scene, "mallory", "m", "doc");
    by(&scene, "mallory", ROBBER);
    by(&scene, "mallory", "CREATE INDEX ON m.doc (id) WHERE m.fail()");
    let call = "BEGIN
                    PERFORM count(*) FROM ai.verify_vectorizer('doc');
                    RAISE 'it was not refused';
                EXCEPTION WHEN object_not_in_prerequisite_state THEN
                    IF SQLERRM <> 'portal \"kept\" cannot be run' THEN
                        RAISE;
                    END IF;
                END";
    assert_eq!(inventory(&scene, call), [SECRETS; 3]);
}

/// A program that takes an answer bit by bit has a cursor, too, of which it knows nothing.
#[test]
fn answers_that_a_program_takes_bit_by_bit_are_out_of_reach() {
    let scene = lair();
    vectorize(&scene, "mallory", "m", "doc");
    by(&scene, "mallory", ROBBER);
    by(
        &scene,
        "mallory",
        "CREATE INDEX ON m.doc (id) WHERE m.rob(); TRUNCATE m.loot",
    );
    scene
        .cluster
        .execute("CREATE TABLE admin_inventory AS SELECT 'secret ' || n AS secret FROM generate_series(1, 30) n");
    let mut client = scene.cluster.connect().expect("the server takes connections");
    let mut transaction = client.transaction().expect("a transaction begins");
    let portal = transaction
        .bind("SELECT secret FROM admin_inventory", &[])
        .expect("a portal is made");
    let first = transaction.query_portal(&portal, 10).expect("the first rows are there");
    assert_eq!(first.len(), 10);
    let named = transaction
        .query_one(
            "SELECT string_agg(name, ',') FROM pg_cursors WHERE statement LIKE '%admin_inventory'",
            &[],
        )
        .expect("the portal is listed")
        .get::<_, String>(0);
    transaction
        .batch_execute(&format!(
            "CREATE OR REPLACE FUNCTION m.take_all() RETURNS void LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM m.take('{named}'); END $$;
             SELECT count(*) FROM ai.verify_vectorizer('doc')"
        ))
        .expect("mallory's code fails nothing");
    let rest = transaction.query_portal(&portal, 100).expect("the portal is there");
    assert_eq!(rest.len(), 20);
    transaction.commit().expect("the transaction is committed");
    assert_eq!(scene.cluster.column("SELECT t FROM m.loot"), [""; 0]);
    let tried = "SELECT count(*) > 0 FROM m.tried WHERE t LIKE 'FETCH: portal % cannot be run'";
    assert_eq!(scene.cluster.value(tried), "t");
}

/// A cursor of a vectorizer's own, of a name that is known, beneath a call whose caller runs code between two rows.
#[test]
fn a_cursor_that_is_exchanged_beneath_a_verification_ends_it() {
    let scene = lair();
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.col (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('m.col', name => 'col', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4), destination => ai.destination_column('embedding'),
             chunking => ai.chunking_none(), scheduling => ai.scheduling_none());
         INSERT INTO m.col SELECT n, 'x' FROM generate_series(1, 40) n;
         CREATE TABLE m.sink (x int);
         CREATE FUNCTION m.exchange(query text) RETURNS text LANGUAGE plpgsql AS $$
         DECLARE
             n text;
             c refcursor;
         BEGIN
             SELECT name INTO n FROM pg_cursors
             WHERE statement LIKE '%AS document_text%' AND statement NOT LIKE '%m.sink%' LIMIT 1;
             IF n IS NOT NULL THEN
                 c := n;
                 CLOSE c;
                 IF query <> '' THEN
                     OPEN c FOR EXECUTE query;
                 END IF;
             END IF;
             RETURN n;
         END $$",
    );
    let started = scene.cluster.value("SELECT pg_postmaster_start_time()::text");
    let row = "'{\"id\": 1}'::text AS primary_key, 'x'::text AS document_text, NULL::bytea AS document_bytes,
               '{}'::jsonb AS columns, 'forged'::text AS queued, NULL::text AS failure, false AS failed,
               NULL::int[] AS seqs, NULL::text[] AS texts, NULL::text[] AS digests, NULL::int[] AS dimensions,
               NULL::bigint AS most, 'm.sink' AS mark";
    for query in [
        "",
        "SHOW search_path",
        "EXPLAIN SELECT 1",
        &format!("SELECT {row}"),
        &format!("INSERT INTO m.sink VALUES (1) RETURNING {row}"),
    ] {
        let call = format!(
            "SET SESSION AUTHORIZATION mallory;
             SELECT (v).*, e FROM (SELECT ai._verify_vectorizer(1, false) AS v, m.exchange('{}') AS e) s",
            query.replace('\'', "''")
        );
        let (code, message) = scene.cluster.refusal(&call);
        scene.cluster.execute("RESET SESSION AUTHORIZATION");
        assert_eq!(code, "24000", "{query}: {message}");
    }
    // One that a rollback has taken away, with the caller's query going on.
    let (code, message) = scene.cluster.refusal(
        "SET SESSION AUTHORIZATION mallory;
         DO $$
         DECLARE
             c CURSOR FOR SELECT ai._verify_vectorizer(1, false);
             r record;
         BEGIN
             OPEN c;
             BEGIN
                 FETCH c INTO r;
                 RAISE division_by_zero;
             EXCEPTION WHEN division_by_zero THEN NULL;
             END;
             LOOP
                 FETCH c INTO r;
                 EXIT WHEN NOT FOUND;
             END LOOP;
         END $$",
    );
    scene.cluster.execute("RESET SESSION AUTHORIZATION");
    assert_eq!(code, "24000", "{message}");
    let now = scene.cluster.value("SELECT pg_postmaster_start_time()::text");
    assert_eq!(now, started, "{}", scene.cluster.log());
    assert!(
        !scene.cluster.log().contains("terminated by signal"),
        "{}",
        scene.cluster.log()
    );
}

/// Cursors, advisory locks, and what the next random numbers are.
#[test]
fn code_of_an_owner_leaves_nothing_in_the_session_of_an_administrator() {
    let scene = lair();
    scene.cluster.execute("CREATE EXTENSION dblink");
    vectorize(&scene, "mallory", "m", "doc");
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.refused (t text);
         CREATE FUNCTION m.attempt(statement text) RETURNS void LANGUAGE plpgsql AS $$
         BEGIN
             EXECUTE statement;
         EXCEPTION WHEN OTHERS THEN INSERT INTO m.refused VALUES (statement || ': ' || SQLSTATE);
         END $$;
         CREATE FUNCTION m.leave() RETURNS void LANGUAGE plpgsql AS $$
         DECLARE
             c refcursor := 'left';
         BEGIN
             IF NOT EXISTS (SELECT FROM pg_cursors WHERE name = 'left') THEN
                 OPEN c FOR SELECT 1;
             END IF;
             PERFORM m.attempt('SELECT setseed(0.25)');
             PERFORM m.attempt('SELECT pg_advisory_lock(4712)');
             PERFORM m.attempt('SELECT pg_advisory_lock_shared(4712)');
             PERFORM m.attempt('SELECT pg_try_advisory_lock(4, 712)');
             PERFORM m.attempt('SELECT pg_advisory_unlock(1)');
             PERFORM m.attempt('SELECT pg_advisory_unlock_all()');
             PERFORM m.attempt('SELECT loread(0, 1000)');
             PERFORM m.attempt('SELECT lo_close(0)');
             PERFORM m.attempt('SELECT * FROM public.dblink(''administrators'', ''SELECT current_user::text'') AS d (t text)');
             PERFORM m.attempt('SELECT sum(CASE WHEN pg_try_advisory_lock(n) THEN 1 END) FROM generate_series(8, 9) n');
         END $$;
         CREATE FUNCTION m.leaves() RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM m.leave(); RETURN true; END $$;
         INSERT INTO m.doc VALUES (1, 'one');
         CREATE TABLE m.more (id int PRIMARY KEY, body text)",
    );
    scene.cluster.wait_until_settled();
    by(
        &scene,
        "mallory",
        "CREATE INDEX ON m.more (id) WHERE m.leaves();
         CREATE INDEX ON m.doc (id) WHERE m.leaves();
         TRUNCATE m.refused",
    );
    // What she did in her own session stays there.
    let all = "SELECT pg_advisory_unlock_all()";
    scene.cluster.execute(all);
    scene.cluster.execute(
        "SELECT dblink_connect('administrators', 'port=' || current_setting('port') || ' host=' ||
             current_setting('unix_socket_directories') || ' user=postgres dbname=' || current_database());
         SELECT pg_advisory_lock(1); CREATE TABLE IF NOT EXISTS probe (cursors bigint, random float8);
         SELECT lo_from_bytea(4711, 'a secret of the administrator')",
    );
    for call in [
        "SELECT ai.create_vectorizer('m.more', name => 'more', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
        "SELECT count(*) FROM ai.verify_vectorizer('doc')",
    ] {
        scene.cluster.execute(&format!(
            "BEGIN;
             TRUNCATE probe, m.refused;
             SELECT setseed(0.5);
             SELECT lo_open(4711, 262144);
             {call};
             INSERT INTO probe SELECT (SELECT count(*) FROM pg_cursors WHERE name = 'left'), random();
             COMMIT"
        ));
        let locks =
            "SELECT string_agg(objid::text, ',') FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
        assert_eq!(scene.cluster.value(locks), "1", "{call}");
        assert_eq!(scene.cluster.value("SELECT cursors FROM probe"), "0", "{call}");
        scene.cluster.execute("SELECT setseed(0.5)");
        let random = scene.cluster.value("SELECT random()");
        assert_eq!(scene.cluster.value("SELECT random FROM probe"), random, "{call}");
        let refused =
            "SELECT count(DISTINCT t) || ' of ' || count(DISTINCT t) FILTER (WHERE t LIKE '%: 42501') FROM m.refused";
        assert_eq!(scene.cluster.value(refused), "10 of 10", "{call}");
    }
    assert_eq!(scene.cluster.value("SELECT pg_advisory_unlock(1)"), "t");
    scene.cluster.execute("SELECT dblink_disconnect('administrators')");
    // In the worker, and in her own session, she may.
    by(
        &scene,
        "mallory",
        "SELECT pg_advisory_lock(4712); SELECT pg_advisory_unlock(4712)",
    );
    by(
        &scene,
        "mallory",
        "TRUNCATE m.refused;
         CREATE FUNCTION m.late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM m.leave(); RETURN NEW; END $$;
         CREATE TRIGGER late BEFORE INSERT ON m.doc_embedding_store FOR EACH ROW EXECUTE FUNCTION m.late();
         INSERT INTO m.doc VALUES (2, 'two')",
    );
    let written = "SELECT count(*) FROM m.doc_embedding_store WHERE id = 2";
    scene.cluster.wait_for("the worker has written", written, "1");
    let refused = "SELECT count(*) FROM m.refused WHERE t LIKE '%: 42501'";
    assert_eq!(scene.cluster.value(refused), "0");
}
