//! Code of other roles than the owner on the tables of a vectorizer: it does not run as the owner, whoever
//! was allowed to put it there, and the vectorizer says what stands in its way.

mod support;

use support::lair::{assert_only_mallory, by, lair};
use support::{DEADLINE, Scene, wait_until};

/// Tables of a superuser in a schema that mallory may use, each with a vectorizer that has embedded a document.
fn shop(tables: &[&str]) -> Scene {
    let scene = lair();
    scene
        .cluster
        .execute("CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO PUBLIC");
    for table in tables {
        vectorize(&scene, table, "");
    }
    scene
}

/// A table of a superuser with a vectorizer, which has embedded a document.
fn vectorize(scene: &Scene, table: &str, destination: &str) {
    scene.cluster.execute(&format!(
        "CREATE TABLE shop.{table} (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('shop.{table}', name => '{table}', loading => ai.loading_column('body'), queue_schema => 'shop',
             embedding => ai.embedding_openai('text-embedding-3-small', 4){destination});
         INSERT INTO shop.{table} VALUES (1, 'one')"
    ));
    scene.cluster.wait_for("embedded", &embedded(table, destination), "1");
}

const COLUMN: &str = ", destination => ai.destination_column('embedding'), chunking => ai.chunking_none()";

/// How many documents have chunks, or vectors.
fn embedded(table: &str, destination: &str) -> String {
    match destination {
        "" => format!("SELECT count(DISTINCT id) FROM shop.{table}_embedding_store"),
        _ => format!("SELECT count(embedding) FROM shop.{table}"),
    }
}

fn queue(scene: &Scene, table: &str, kind: &str) -> String {
    let sql = format!("SELECT format('shop.%s_%s', '{kind}', id) FROM ai.vectorizer WHERE name = '{table}'");
    scene.cluster.value(&sql)
}

fn wait_for_standstill(scene: &Scene, table: &str, says: &str) {
    let reason = format!("SELECT coalesce(reason, '') FROM ai.worker_status WHERE vectorizer = '{table}'");
    wait_until(
        "it says what is in its way",
        DEADLINE,
        || scene.cluster.value(&reason),
        |reason| reason.contains("code of others would run as postgres") && reason.contains(says),
    );
}

/// Whatever would act as the owner refuses to.
fn all_doors_are_shut(scene: &Scene, table: &str, says: &str) {
    for sql in [
        format!("SELECT ai.execute_vectorizer('{table}')"),
        format!("SELECT * FROM ai.verify_vectorizer('{table}', repair => true)"),
        format!("SELECT ai.retry_vectorizer('{table}')"),
    ] {
        let (code, message) = scene.cluster.refusal(&sql);
        assert_eq!(code, "55000", "{sql}: {message}");
        assert!(message.contains(says), "{sql}: {message}");
    }
}

/// Mallory's trap on a table: what she was granted, what she does, what the reason names, and what mends it.
struct Trap {
    name: &'static str,
    destination: &'static str,
    granted: &'static str,
    laid: &'static str,
    says: &'static str,
    mended: &'static str,
}

const TRAPS: [Trap; 7] = [
    Trap {
        name: "store",
        destination: "",
        granted: "GRANT ALL ON ALL TABLES IN SCHEMA shop TO mallory",
        laid: "CREATE TRIGGER t BEFORE INSERT ON {store} FOR EACH ROW EXECUTE FUNCTION m.spring('store')",
        says: "the trigger t on shop.store_embedding_store, with m.spring of mallory",
        mended: "DROP TRIGGER t ON {store}",
    },
    Trap {
        name: "queue",
        destination: "",
        granted: "GRANT TRIGGER ON {queue} TO mallory",
        laid: "CREATE TRIGGER t AFTER DELETE ON {queue} EXECUTE FUNCTION m.spring('queue')",
        says: "the trigger t on shop._vectorizer_q_",
        mended: "DROP TRIGGER t ON {queue}",
    },
    Trap {
        name: "intake",
        destination: "",
        granted: "GRANT TRIGGER ON {intake} TO PUBLIC",
        laid: "CREATE CONSTRAINT TRIGGER t AFTER DELETE ON {intake} DEFERRABLE INITIALLY DEFERRED
                   FOR EACH ROW EXECUTE FUNCTION m.spring('intake')",
        says: "with m.spring of mallory",
        mended: "ALTER TABLE {intake} DISABLE TRIGGER t",
    },
    // The function is a superuser's, the condition is not.
    Trap {
        name: "condition",
        destination: "",
        granted: "GRANT TRIGGER ON {store} TO mallory;
                  CREATE FUNCTION shop.pass() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        laid: "CREATE TRIGGER t BEFORE INSERT ON {store} FOR EACH ROW WHEN (m.strike(NEW.chunk)) EXECUTE FUNCTION shop.pass()",
        says: "with m.strike of mallory",
        mended: "DROP TRIGGER t ON {store}",
    },
    Trap {
        name: "source",
        destination: COLUMN,
        granted: "GRANT TRIGGER ON shop.source TO mallory",
        laid: "CREATE TRIGGER t BEFORE UPDATE ON shop.source FOR EACH ROW EXECUTE FUNCTION m.spring('source')",
        says: "the trigger t on shop.source",
        mended: "DROP TRIGGER t ON shop.source",
    },
    Trap {
        name: "referred",
        destination: "",
        granted: "GRANT REFERENCES, SELECT ON {store} TO mallory",
        laid: "CREATE TABLE m.refers (c uuid REFERENCES {store} (embedding_uuid) ON DELETE CASCADE);
               CREATE TRIGGER t AFTER DELETE ON m.refers FOR EACH ROW EXECUTE FUNCTION m.spring('referred');
               INSERT INTO m.refers SELECT embedding_uuid FROM {store}",
        says: "the table m.refers of mallory",
        mended: "DROP TABLE m.refers",
    },
    // By way of a table of the owner.
    Trap {
        name: "chain",
        destination: "",
        granted: "CREATE TABLE shop.mine (c uuid PRIMARY KEY REFERENCES {store} (embedding_uuid) ON DELETE CASCADE);
                  INSERT INTO shop.mine SELECT embedding_uuid FROM {store};
                  GRANT TRIGGER, SELECT ON shop.mine TO mallory",
        laid: "CREATE TRIGGER t AFTER DELETE ON shop.mine FOR EACH ROW EXECUTE FUNCTION m.spring('chain')",
        says: "the trigger t on shop.mine",
        mended: "DROP TRIGGER t ON shop.mine",
    },
];

#[test]
fn what_others_may_put_on_tables_does_not_run_as_their_owner() {
    let scene = shop(&[]);
    for trap in &TRAPS {
        vectorize(&scene, trap.name, trap.destination);
        let filled = |sql: &str| {
            sql.replace("{store}", &format!("shop.{}_embedding_store", trap.name))
                .replace("{queue}", &queue(&scene, trap.name, "_vectorizer_q"))
                .replace("{intake}", &queue(&scene, trap.name, "_vectorizer_intake"))
        };
        scene.cluster.execute(&filled(trap.granted));
        // The superuser does nothing that would spring the trap.
        scene.cluster.execute(&format!(
            "SELECT ai.disable_vectorizer_schedule('{0}'); UPDATE shop.{0} SET body = 'other'; INSERT INTO shop.{0} VALUES (2, 'two')",
            trap.name
        ));
        by(&scene, "mallory", &filled(trap.laid));
        scene
            .cluster
            .execute(&format!("SELECT ai.enable_vectorizer_schedule('{}')", trap.name));
        wait_for_standstill(&scene, trap.name, trap.says);
        all_doors_are_shut(&scene, trap.name, trap.says);
        assert_only_mallory(&scene, trap.name);
        scene.cluster.execute(&filled(trap.mended));
        scene
            .cluster
            .execute(&format!("SELECT ai.retry_vectorizer('{}')", trap.name));
        scene
            .cluster
            .wait_for(trap.name, &embedded(trap.name, trap.destination), "2");
        assert_only_mallory(&scene, trap.name);
    }
}

/// The worker has its statement, and waits for the lock of the transaction that makes the trigger.
#[test]
fn a_trigger_that_comes_while_a_statement_waits_does_not_run() {
    let scene = shop(&["doc"]);
    scene
        .cluster
        .execute("GRANT TRIGGER ON shop.doc_embedding_store TO mallory");
    let mut hers = scene.cluster.connect().expect("the server takes connections");
    hers.batch_execute(
        "SET SESSION AUTHORIZATION mallory; BEGIN;
         CREATE TRIGGER t BEFORE INSERT ON shop.doc_embedding_store FOR EACH ROW EXECUTE FUNCTION m.spring('late')",
    )
    .expect("she may make triggers");
    let waits =
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'shop.doc_embedding_store'::regclass)";
    let mut watch = scene.cluster.connect().expect("the server takes connections");
    scene.cluster.execute("INSERT INTO shop.doc VALUES (2, 'two')");
    wait_until(
        "the worker waits for her",
        DEADLINE,
        || {
            // The first wait takes a fifth of a second, those after it milliseconds.
            (0..500).any(|_| watch.query_one(waits, &[]).is_ok_and(|row| row.get::<_, bool>(0)))
        },
        |waits| *waits,
    );
    hers.batch_execute("COMMIT").expect("she commits");
    wait_for_standstill(&scene, "doc", "with m.spring of mallory");
    assert_only_mallory(&scene, "a trigger that came late");
    assert_eq!(scene.cluster.value(&embedded("doc", "")), "1");
}

/// `GRANT` on a column takes no lock that a change of the owner waits for.
#[test]
fn a_foreign_key_that_was_granted_at_the_hand_over_does_not_run_as_the_new_owner() {
    let scene = lair();
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.race (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('m.race', name => 'race', loading => ai.loading_column('body'), queue_schema => 'm',
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         INSERT INTO m.race VALUES (1, 'one')",
    );
    let embedded = "SELECT count(*) FROM m.race_embedding_store";
    scene.cluster.wait_for("embedded", embedded, "1");
    let mut hers = scene.cluster.connect().expect("the server takes connections");
    hers.batch_execute(
        "SET SESSION AUTHORIZATION mallory; BEGIN; GRANT REFERENCES (embedding_uuid) ON m.race_embedding_store TO mallory",
    )
    .expect("it is hers");
    let uuid = scene.cluster.value("SELECT embedding_uuid FROM m.race_embedding_store");
    scene.cluster.execute("ALTER TABLE m.race OWNER TO postgres");
    hers.batch_execute(&format!(
        "COMMIT;
         CREATE TABLE m.refers (c uuid REFERENCES m.race_embedding_store (embedding_uuid) ON DELETE CASCADE);
         CREATE TRIGGER t AFTER DELETE ON m.refers FOR EACH ROW EXECUTE FUNCTION m.spring('race');
         INSERT INTO m.refers VALUES ('{uuid}')"
    ))
    .expect("she may refer to it");
    scene.cluster.execute("UPDATE m.race SET body = 'two'");
    wait_for_standstill(
        &scene,
        "race",
        "the table m.refers of mallory, whose foreign key has an action",
    );
    assert_only_mallory(&scene, "a foreign key");
}

/// Postgres gives away the whole without its partitions.
#[test]
fn a_part_of_another_runs_nothing_as_the_owner_of_the_whole() {
    let scene = lair();
    scene.cluster.execute(
        "CREATE SCHEMA shop;
         CREATE TABLE shop.doc (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
         CREATE TABLE shop.doc1 PARTITION OF shop.doc FOR VALUES FROM (0) TO (10);
         CREATE TABLE shop.old (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
         CREATE TABLE shop.half PARTITION OF shop.old FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);
         CREATE TABLE shop.quarter PARTITION OF shop.half FOR VALUES FROM (0) TO (5);
         GRANT ALL ON SCHEMA shop TO mallory;
         SELECT ai.create_vectorizer('shop.doc', name => 'doc', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         SELECT ai.create_vectorizer('shop.old', name => 'old', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         INSERT INTO shop.doc VALUES (1, 'one'); INSERT INTO shop.old VALUES (1, 'one')",
    );
    for (table, part) in [("doc", "doc1"), ("old", "quarter")] {
        scene.cluster.wait_for(table, &embedded(table, ""), "1");
        // The superuser does nothing on it that would spring the trap.
        scene.cluster.execute(&format!(
            "SELECT ai.disable_vectorizer_schedule('{table}');
             UPDATE shop.{table} SET body = 'two' WHERE id = 1;
             ALTER TABLE shop.{part} OWNER TO mallory"
        ));
        by(
            &scene,
            "mallory",
            &format!("CREATE INDEX ON shop.{part} (id) WHERE m.strike('{part}')"),
        );
        scene
            .cluster
            .execute(&format!("SELECT ai.enable_vectorizer_schedule('{table}')"));
        let says = format!("the part shop.{part} of mallory");
        wait_for_standstill(&scene, table, &says);
        all_doors_are_shut(&scene, table, &says);
        assert_only_mallory(&scene, part);
    }
}

/// What the worker's statements do not run, and what belongs to a superuser.
#[test]
fn what_runs_nothing_of_others_stops_nothing() {
    let scene = shop(&["doc"]);
    scene.cluster.execute(
        "GRANT REFERENCES, TRIGGER ON shop.doc, shop.doc_embedding_store TO mallory;
         CREATE FUNCTION m.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER own BEFORE INSERT ON shop.doc_embedding_store FOR EACH ROW EXECUTE FUNCTION m.touch()",
    );
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.comment (doc int REFERENCES shop.doc ON DELETE CASCADE ON UPDATE CASCADE);
         CREATE TABLE m.note (chunk uuid REFERENCES shop.doc_embedding_store (embedding_uuid));
         CREATE FUNCTION m.audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON shop.doc FOR EACH ROW EXECUTE FUNCTION m.audit();
         CREATE TABLE m.parted (id int PRIMARY KEY, body text) PARTITION BY RANGE (id)",
    );
    by(
        &scene,
        "mallory",
        "SELECT ai.create_vectorizer('m.parted', name => 'parted', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
    // A superuser makes the partitions of others.
    scene
        .cluster
        .execute("CREATE TABLE m.parted1 PARTITION OF m.parted FOR VALUES FROM (0) TO (10)");
    by(&scene, "mallory", "INSERT INTO m.parted VALUES (1, 'one')");
    scene.cluster.execute("INSERT INTO shop.doc VALUES (2, 'two')");
    scene.cluster.wait_for("a superuser's", &embedded("doc", ""), "2");
    let parted = "SELECT count(*) FROM m.parted_embedding_store";
    scene.cluster.wait_for("with a partition of a superuser", parted, "1");
    assert_eq!(
        scene.cluster.value("SELECT count(*) FROM ai.verify_vectorizer('doc')"),
        "0"
    );
}
