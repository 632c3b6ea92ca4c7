//! Whoever writes to a source runs the function of its triggers, which acts as the owner: nothing that others have put
//! on the tables of the vectorizer runs there as the owner, and what was written is not lost.

mod support;

use support::database::describe;
use support::lair::{assert_only_mallory, by, lair, vectorize};
use support::{DEADLINE, Scene, wait_until};

/// A table of a superuser with a vectorizer, which has embedded two documents.
fn shop(scene: &Scene, table: &str, kind: Kind) {
    let (parts, partition) = match kind {
        Kind::Plain => ("", String::new()),
        Kind::Partitioned => (
            " PARTITION BY RANGE (id)",
            format!("CREATE TABLE shop.{table}_part PARTITION OF shop.{table} FOR VALUES FROM (0) TO (1000);"),
        ),
    };
    scene.cluster.execute(&format!(
        "CREATE TABLE shop.{table} (id int PRIMARY KEY, body text){parts}; {partition}
         SELECT ai.create_vectorizer('shop.{table}', name => '{table}', loading => ai.loading_column('body'), queue_schema => 'shop',
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         INSERT INTO shop.{table} VALUES (1, 'one'), (2, 'two')"
    ));
    wait_for_chunks(scene, table, "1:one,2:two");
    scene.cluster.wait_until_settled();
}

#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Partitioned,
}

fn chunks(table: &str) -> String {
    format!("SELECT coalesce(string_agg(id || ':' || chunk, ',' ORDER BY id), '') FROM shop.{table}_embedding_store")
}

fn wait_for_chunks(scene: &Scene, table: &str, expected: &str) {
    scene.cluster.wait_for(table, &chunks(table), expected);
}

/// What mallory was granted and has made of it, what says so, and what takes it away.
struct Trap {
    name: &'static str,
    kind: Kind,
    granted: &'static str,
    laid: &'static str,
    says: &'static str,
    mended: &'static str,
}

/// No retry is asked for: to take the code away is enough.
const TRAPS: [Trap; 9] = [
    Trap {
        name: "store",
        kind: Kind::Plain,
        granted: "GRANT ALL ON {store} TO mallory",
        laid: "CREATE TRIGGER t BEFORE DELETE ON {store} FOR EACH ROW EXECUTE FUNCTION m.spring('store')",
        says: "the trigger t on shop.store_embedding_store, with m.spring of mallory",
        mended: "DROP TRIGGER t ON {store}",
    },
    Trap {
        name: "queue",
        kind: Kind::Plain,
        granted: "GRANT TRIGGER ON {queue} TO mallory",
        laid: "CREATE TRIGGER t AFTER DELETE ON {queue} EXECUTE FUNCTION m.spring('queue')",
        says: "with m.spring of mallory",
        mended: "ALTER TABLE {queue} DISABLE TRIGGER t",
    },
    Trap {
        name: "failed",
        kind: Kind::Plain,
        granted: "GRANT TRIGGER ON {failed} TO PUBLIC",
        laid: "CREATE TRIGGER t BEFORE DELETE ON {failed} EXECUTE FUNCTION m.spring('failed')",
        says: "with m.spring of mallory",
        mended: "CREATE OR REPLACE FUNCTION m.spring() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
                 ALTER FUNCTION m.spring() OWNER TO postgres",
    },
    Trap {
        name: "emptied",
        kind: Kind::Plain,
        granted: "GRANT ALL ON {store} TO mallory",
        laid: "CREATE TRIGGER t BEFORE TRUNCATE ON {store} EXECUTE FUNCTION m.spring('emptied')",
        says: "the trigger t on shop.emptied_embedding_store",
        mended: "DROP FUNCTION m.spring CASCADE",
    },
    Trap {
        name: "referred",
        kind: Kind::Plain,
        granted: "GRANT REFERENCES, SELECT ON {store} TO mallory",
        laid: "CREATE TABLE m.refers (c uuid REFERENCES {store} (embedding_uuid) ON DELETE CASCADE);
               CREATE TRIGGER t AFTER DELETE ON m.refers FOR EACH ROW EXECUTE FUNCTION m.spring('referred');
               INSERT INTO m.refers SELECT embedding_uuid FROM {store}",
        says: "the table m.refers of mallory",
        mended: "DROP TABLE m.refers",
    },
    Trap {
        name: "action",
        kind: Kind::Plain,
        granted: "GRANT REFERENCES, SELECT ON {store} TO mallory",
        laid: "CREATE TABLE m.acts (c uuid CONSTRAINT k REFERENCES {store} (embedding_uuid) ON DELETE SET NULL);
               CREATE TRIGGER t BEFORE UPDATE ON m.acts FOR EACH ROW EXECUTE FUNCTION m.spring('action');
               INSERT INTO m.acts SELECT embedding_uuid FROM {store}",
        says: "the table m.acts of mallory",
        mended: "ALTER TABLE m.acts DROP CONSTRAINT k",
    },
    // By way of a table of the owner.
    Trap {
        name: "chain",
        kind: Kind::Plain,
        granted: "CREATE TABLE shop.mine (c uuid PRIMARY KEY REFERENCES {store} (embedding_uuid) ON DELETE CASCADE);
                  INSERT INTO shop.mine SELECT embedding_uuid FROM {store};
                  GRANT TRIGGER, SELECT ON shop.mine TO mallory",
        laid: "CREATE TRIGGER t AFTER DELETE ON shop.mine FOR EACH ROW EXECUTE FUNCTION m.spring('chain')",
        says: "the trigger t on shop.mine",
        mended: "ALTER TABLE shop.mine DISABLE TRIGGER t",
    },
    Trap {
        name: "parted",
        kind: Kind::Partitioned,
        granted: "GRANT ALL ON {store} TO mallory",
        laid: "CREATE TRIGGER t BEFORE DELETE OR TRUNCATE ON {store} EXECUTE FUNCTION m.spring('parted')",
        says: "the trigger t on shop.parted_embedding_store",
        mended: "DROP TRIGGER t ON {store}",
    },
    // Foreign key of a queue: its actions would run when a document leaves it.
    Trap {
        name: "deferred",
        kind: Kind::Partitioned,
        granted: "GRANT ALL ON {queue} TO mallory",
        laid: "CREATE CONSTRAINT TRIGGER t AFTER DELETE ON {queue} DEFERRABLE INITIALLY DEFERRED
                   FOR EACH ROW EXECUTE FUNCTION m.spring('deferred')",
        says: "with m.spring of mallory",
        mended: "DROP TRIGGER t ON {queue}",
    },
];

/// The names of the tables of a vectorizer, in a statement.
fn filled(scene: &Scene, table: &str, sql: &str) -> String {
    let id = scene
        .cluster
        .value(&format!("SELECT id FROM ai.vectorizer WHERE name = '{table}'"));
    sql.replace("{store}", &format!("shop.{table}_embedding_store"))
        .replace("{queue}", &format!("shop._vectorizer_q_{id}"))
        .replace("{failed}", &format!("shop._vectorizer_q_failed_{id}"))
        .replace("{intake}", &format!("shop._vectorizer_intake_{id}"))
}

fn start() -> Scene {
    let scene = lair();
    scene
        .cluster
        .execute("CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO PUBLIC");
    scene
}

#[test]
fn what_others_put_on_tables_does_not_run_in_the_session_of_those_who_write() {
    let scene = start();
    for trap in &TRAPS {
        let name = trap.name;
        shop(&scene, name, trap.kind);
        scene.cluster.execute(&filled(&scene, name, trap.granted));
        by(&scene, "mallory", &filled(&scene, name, trap.laid));
        scene.cluster.execute(&format!("DELETE FROM shop.{name} WHERE id = 1"));
        assert_only_mallory(&scene, name);
        // A key that becomes another goes by row.
        scene
            .cluster
            .execute(&format!("UPDATE shop.{name} SET id = 3 WHERE id = 2"));
        assert_only_mallory(&scene, name);
        // No key is left that could be told.
        let (code, message) = scene.cluster.refusal(&format!("TRUNCATE shop.{name}"));
        assert_eq!(code, "42501", "{name}: {message}");
        assert!(message.contains(trap.says), "{name}: {message}");
        let reason = format!("SELECT coalesce(reason, '') FROM ai.worker_status WHERE vectorizer = '{name}'");
        wait_until(
            "it says what is in its way",
            DEADLINE,
            || scene.cluster.value(&reason),
            |reason| reason.contains("code of others would run as postgres") && reason.contains(trap.says),
        );
        assert_eq!(scene.cluster.value(&chunks(name)), "1:one,2:two", "{name}");
        scene.cluster.execute(&filled(&scene, name, trap.mended));
        wait_for_chunks(&scene, name, "3:two");
        assert_only_mallory(&scene, name);
        // It is done at once again.
        let emptied = format!("BEGIN; DELETE FROM shop.{name}; {}; COMMIT", chunks(name));
        assert_eq!(scene.cluster.value(&emptied), "", "{name}");
        assert_only_mallory(&scene, name);
        scene.cluster.execute(SPRING);
    }
}

/// As the lair has it.
const SPRING: &str = "
    DROP FUNCTION IF EXISTS m.spring CASCADE;
    SET SESSION AUTHORIZATION mallory;
    CREATE FUNCTION m.spring() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM m.strike(TG_ARGV[0]);
        RETURN coalesce(NEW, OLD);
    END $$;
    RESET SESSION AUTHORIZATION";

/// Nothing can be left where the keys would be written down; a trigger on other events is in nobody's way.
#[test]
fn what_would_run_by_a_look_into_the_intake_has_the_write_refused() {
    let scene = start();
    for (name, kind) in [("plain", Kind::Plain), ("parted", Kind::Partitioned)] {
        shop(&scene, name, kind);
        scene
            .cluster
            .execute(&filled(&scene, name, "GRANT TRIGGER ON {intake} TO mallory"));
        let laid = "CREATE TRIGGER t BEFORE DELETE ON {intake} EXECUTE FUNCTION m.spring('intake')";
        by(&scene, "mallory", &filled(&scene, name, laid));
        scene.cluster.execute(&format!(
            "INSERT INTO shop.{name} VALUES (3, 'three'); DELETE FROM shop.{name} WHERE id = 1"
        ));
        let laid = "CREATE TRIGGER u BEFORE INSERT ON {intake} FOR EACH ROW EXECUTE FUNCTION m.spring('intake')";
        by(&scene, "mallory", &filled(&scene, name, laid));
        for sql in [
            format!("INSERT INTO shop.{name} VALUES (4, 'four')"),
            format!("UPDATE shop.{name} SET id = 5 WHERE id = 2"),
            format!("DELETE FROM shop.{name} WHERE id = 2"),
            format!("TRUNCATE shop.{name}"),
        ] {
            let (code, message) = scene.cluster.refusal(&sql);
            assert_eq!(code, "42501", "{sql}: {message}");
            assert!(
                message.contains("code of others would run as postgres"),
                "{sql}: {message}"
            );
        }
        assert_only_mallory(&scene, name);
        let mended = "DROP TRIGGER t ON {intake}; DROP TRIGGER u ON {intake}";
        scene.cluster.execute(&filled(&scene, name, mended));
        wait_for_chunks(&scene, name, "2:two,3:three");
        assert_only_mallory(&scene, name);
    }
}

/// The statement waits for the transaction that makes the trigger.
#[test]
fn a_trigger_that_comes_while_a_writer_waits_does_not_run() {
    let scene = start();
    shop(&scene, "doc", Kind::Plain);
    scene
        .cluster
        .execute("GRANT TRIGGER ON shop.doc_embedding_store TO mallory; SELECT ai.disable_vectorizer_schedule('doc')");
    let mut writer = scene.cluster.connect().expect("the server takes connections");
    // It knows that nothing was there.
    writer
        .batch_execute("DELETE FROM shop.doc WHERE id = 77")
        .expect("nothing is in its way");
    let mut hers = scene.cluster.connect().expect("the server takes connections");
    hers.batch_execute(
        "SET SESSION AUTHORIZATION mallory; BEGIN;
         CREATE TRIGGER t BEFORE DELETE ON shop.doc_embedding_store FOR EACH ROW EXECUTE FUNCTION m.spring('late')",
    )
    .expect("she may make triggers");
    let writes = std::thread::spawn(move || writer.batch_execute("DELETE FROM shop.doc WHERE id = 1"));
    let waits =
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'shop.doc_embedding_store'::regclass)";
    scene.cluster.wait_for("the writer waits for her", waits, "t");
    hers.batch_execute("COMMIT").expect("she commits");
    let written = writes.join().expect("the thread ends");
    written.unwrap_or_else(|error| panic!("{}", describe(&error)));
    assert_only_mallory(&scene, "a trigger that came late");
    assert_eq!(scene.cluster.value(&chunks("doc")), "1:one,2:two");
    scene
        .cluster
        .execute("DROP TRIGGER t ON shop.doc_embedding_store; SELECT ai.enable_vectorizer_schedule('doc')");
    wait_for_chunks(&scene, "doc", "2:two");
}

/// `REASSIGN OWNED` gives the function of the triggers away, with all that the old owner has put on the tables.
#[test]
fn what_the_old_owner_left_does_not_run_in_the_session_of_the_new_one() {
    let scene = lair();
    vectorize(&scene, "mallory", "m", "doc");
    by(&scene, "mallory", "INSERT INTO m.doc VALUES (1, 'one'), (2, 'two')");
    let chunks = "SELECT coalesce(string_agg(chunk, ',' ORDER BY id), '') FROM m.doc_embedding_store";
    scene.cluster.wait_for("it works for mallory", chunks, "one,two");
    scene.cluster.wait_until_settled();
    by(
        &scene,
        "mallory",
        "CREATE RULE trap AS ON DELETE TO m.doc_embedding_store DO ALSO SELECT m.strike('rule');
         CREATE TRIGGER trap AFTER DELETE ON ai._vectorizer_q_1 EXECUTE FUNCTION m.spring('trigger');
         ALTER TABLE ai._vectorizer_q_failed_1 ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
         CREATE POLICY trap ON ai._vectorizer_q_failed_1 USING (m.strike('policy'));
         CREATE TRIGGER empty BEFORE TRUNCATE ON m.doc_embedding_store EXECUTE FUNCTION m.spring('truncate')",
    );
    let database = &scene.cluster;
    database.execute("REASSIGN OWNED BY mallory TO postgres");
    database.execute("DELETE FROM m.doc WHERE id = 1");
    database.execute("UPDATE m.doc SET id = 3 WHERE id = 2");
    assert_only_mallory(&scene, "REASSIGN OWNED");
    let (code, message) = database.refusal("TRUNCATE m.doc");
    assert_eq!(code, "55000", "{message}");
    assert!(message.contains("its source belongs to postgres now"), "{message}");
    assert_eq!(database.value(chunks), "one,two");
    database.execute(
        "DROP RULE trap ON m.doc_embedding_store; DROP TRIGGER trap ON ai._vectorizer_q_1;
         DROP POLICY trap ON ai._vectorizer_q_failed_1; DROP TRIGGER empty ON m.doc_embedding_store;
         ALTER TABLE ai._vectorizer_q_failed_1 DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
         SELECT ai.enable_vectorizer_schedule('doc')",
    );
    database.wait_for("it works for its new owner", chunks, "two");
    assert_only_mallory(&scene, "its new owner has looked");
}

/// A session that wrote while the vectorizer worked for another role hears that it was handed over, and that it was not.
#[test]
fn a_session_that_stays_open_writes_for_the_new_owner() {
    let scene = lair();
    // Changes of such a key are left to the function of the triggers.
    by(
        &scene,
        "mallory",
        "CREATE TYPE m.mood AS ENUM ('a', 'b', 'c', 'd');
         CREATE TABLE m.moody (id m.mood PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('m.moody', name => 'moody', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
    by(
        &scene,
        "mallory",
        "INSERT INTO m.moody VALUES ('a', 'one'), ('b', 'two'), ('c', 'three')",
    );
    let chunks = "SELECT coalesce(string_agg(id || ':' || chunk, ' ' ORDER BY id), '') FROM m.moody_embedding_store";
    let database = &scene.cluster;
    database.wait_for("it works for mallory", chunks, "a:one b:two c:three");
    database.wait_until_settled();
    let mut session = database.connect().expect("there is room for a session");
    session.batch_execute("DELETE FROM m.moody WHERE id = 'd'").unwrap();
    database.execute("REASSIGN OWNED BY mallory TO postgres");
    // What was handed over by a transaction that is rolled back is not.
    session
        .batch_execute(
            "BEGIN; SELECT ai.enable_vectorizer_schedule('moody'); DELETE FROM m.moody WHERE id = 'd'; ROLLBACK;
             DELETE FROM m.moody WHERE id = 'a'",
        )
        .unwrap();
    assert_eq!(database.value(chunks), "a:one b:two c:three");
    database.execute("SELECT ai.enable_vectorizer_schedule('moody')");
    database.execute("SELECT * FROM ai.verify_vectorizer('moody', repair => true)");
    database.wait_for("what was not told is repaired", chunks, "b:two c:three");
    session
        .batch_execute("DELETE FROM m.moody WHERE id = 'b'; UPDATE m.moody SET id = 'd' WHERE id = 'c'")
        .unwrap();
    database.wait_for("what it changed is told", chunks, "d:three");
    session.batch_execute("TRUNCATE m.moody").unwrap();
    database.wait_for("it empties the table", chunks, "");
}
