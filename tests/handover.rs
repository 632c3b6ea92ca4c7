//! A source changes hands, and with it what its vectorizer is made of: what the extension has made of it, and
//! nothing that its owner has put on it, or could still put on it.

mod support;

use support::lair::{assert_only_mallory, by, lair, vectorize};
use support::{DEADLINE, Scene, wait_until};

/// Mallory's table, which ann is to get, and what ann keeps from her.
fn scene() -> Scene {
    let scene = lair();
    by(
        &scene,
        "ann",
        "CREATE TABLE a.secret (body text); INSERT INTO a.secret VALUES ('canary')",
    );
    scene.cluster.execute(
        "GRANT USAGE ON SCHEMA a TO mallory; GRANT ALL ON SCHEMA m TO ann; GRANT EXECUTE ON FUNCTION m.strike TO PUBLIC",
    );
    scene
}

/// Who owns the parts of a vectorizer.
fn owners(scene: &Scene, name: &str) -> Vec<String> {
    scene.cluster.column(&format!(
        "SELECT DISTINCT pg_get_userbyid(o.owner) FROM ai._vectorizer v
         CROSS JOIN LATERAL (
             SELECT c.relowner FROM pg_class c WHERE c.oid IN (v.source, v.target, v.view, v.queue, v.queue_failed, v.intake)
             UNION ALL
             SELECT p.proowner FROM pg_proc p WHERE p.oid = to_regprocedure(v.trigger_function || '()')
         ) AS o (owner)
         WHERE v.name = '{name}'"
    ))
}

/// A vectorizer of mallory with all that belongs to it in her own schema.
fn beside(scene: &Scene, n: &str) {
    by(
        scene,
        "mallory",
        &format!(
            "CREATE TABLE m.doc{n} (id int PRIMARY KEY, body text);
             SELECT ai.create_vectorizer('m.doc{n}', name => 'doc{n}', queue_schema => 'm', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 4))"
        ),
    );
}

/// What mallory changes while the one who gives the table away waits for her.
#[test]
fn what_is_changed_while_the_giver_waits_is_looked_at() {
    let scene = scene();
    let changes = [
        "CREATE TRIGGER trap BEFORE INSERT OR UPDATE ON {q} FOR EACH ROW EXECUTE FUNCTION m.spring('queue')",
        "CREATE TRIGGER trap BEFORE INSERT ON {store} FOR EACH ROW EXECUTE FUNCTION m.spring('store')",
        "ALTER TABLE {intake} ADD CHECK (m.strike('intake'))",
        "LOCK TABLE {q}, {store}; ALTER FUNCTION {function} RENAME TO old_{n};
         CREATE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
             $$ BEGIN PERFORM m.strike('function'); RETURN NULL; END $$",
    ];
    for (number, change) in changes.iter().enumerate() {
        let n = (number + 1).to_string();
        beside(&scene, &n);
        let change = change
            .replace("{q}", &format!("m._vectorizer_q_{n}"))
            .replace("{intake}", &format!("m._vectorizer_intake_{n}"))
            .replace("{store}", &format!("m.doc{n}_embedding_store"))
            .replace("{function}", &format!("m._vectorizer_src_trg_{n}()"))
            .replace("{n}", &n);
        let mut hers = scene.cluster.connect().expect("the server takes connections");
        hers.batch_execute("SET SESSION AUTHORIZATION mallory; BEGIN")
            .expect("a transaction begins");
        hers.batch_execute(&change)
            .unwrap_or_else(|error| panic!("{change}: {error}"));
        let given = std::thread::scope(|scope| {
            let giving = scope.spawn(|| {
                let mut giver = scene.cluster.connect().expect("the server takes connections");
                giver.batch_execute(&format!("ALTER TABLE m.doc{n} OWNER TO ann"))
            });
            let waits = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                         WHERE NOT l.granted AND a.query LIKE 'ALTER TABLE m.doc%OWNER%'";
            scene.cluster.wait_for("the giver waits for her", waits, "1");
            hers.batch_execute("COMMIT").expect("she commits");
            giving.join().expect("the giver does not panic")
        });
        let owner = if change.contains("RENAME") {
            // What the triggers call changes hands, whatever has its name now.
            given.expect("the function is as it was made");
            let name = "SELECT trigger_function FROM ai._vectorizer WHERE name = 'doc4'";
            assert_eq!(scene.cluster.value(name), "m.old_4");
            let hers = "SELECT proowner::regrole FROM pg_proc WHERE proname = '_vectorizer_src_trg_4'";
            assert_eq!(scene.cluster.value(hers), "mallory");
            "ann"
        } else {
            assert!(given.is_err(), "{change}");
            "mallory"
        };
        assert_eq!(owners(&scene, &format!("doc{n}")), [owner], "{change}");
    }
    assert_only_mallory(&scene, "what was changed meanwhile");
}

/// None of this belongs to mallory or names what she wrote, or it refers to tables that she keeps.
#[test]
fn what_refers_to_others_or_runs_statements_does_not_change_hands() {
    let scene = scene();
    scene.cluster.execute("GRANT CREATE ON DATABASE postgres TO mallory");
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.ref (id int PRIMARY KEY); CREATE SEQUENCE m.numbers",
    );
    let burdens = [
        "ALTER TABLE {table} ADD FOREIGN KEY (id) REFERENCES m.ref ON DELETE CASCADE",
        "ALTER TABLE {table} ADD UNIQUE (id); CREATE TABLE m.back_{n} (id int REFERENCES {table}(id))",
        "ALTER TABLE {table} ADD CHECK (ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery where m.strike(''x'')') IS NOT NULL)",
        "ALTER TABLE {table} ADD CHECK (query_to_xml('select m.strike(''x'')', true, true, '') IS NOT NULL)",
        "ALTER TABLE {table} ADD leak text DEFAULT current_setting('search_path')",
        "ALTER TABLE {table} ADD leak text GENERATED ALWAYS AS (lower(id::text)) STORED",
        "ALTER TABLE {table} ADD number bigint DEFAULT nextval('m.numbers')",
        "CREATE INDEX ON {table} (lower(id::text))",
        "CREATE INDEX ON {table} (id) WHERE id > 1",
        "CREATE STATISTICS m.s_{n} ON (id + 1) FROM {table}",
        "CREATE PUBLICATION p_{n} FOR TABLE {table} WHERE (id > 1)",
        "CREATE DOMAIN m.d_{n} AS int; ALTER TABLE {table} ADD x m.d_{n}",
        "CREATE SEQUENCE m.own_{n} OWNED BY {table}.id",
        "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
    ];
    let tables = [
        "m._vectorizer_q_{n}",
        "m._vectorizer_q_failed_{n}",
        "m._vectorizer_intake_{n}",
        "m.doc{n}_embedding_store",
    ];
    let mut number = 0;
    for (place, burden) in burdens.iter().enumerate() {
        // Each on two of the tables.
        for table in [tables[place % 4], tables[(place + 1) % 4]] {
            number += 1;
            let n = number.to_string();
            beside(&scene, &n);
            let table = table.replace("{n}", &n);
            let burden = burden.replace("{table}", &table).replace("{n}", &n);
            by(&scene, "mallory", &burden);
            let (code, said) = scene.cluster.refusal(&format!("ALTER TABLE m.doc{n} OWNER TO ann"));
            assert_eq!(code, "55000", "{burden}: {said}");
            assert_eq!(owners(&scene, &format!("doc{n}")), ["mallory"], "{burden}");
        }
    }
    assert_only_mallory(&scene, "the tables");
}

/// What is of use to an owner, and runs nothing, goes along. What was granted to read and write stays; what
/// was granted to put code on a table, or to ask through one, does not.
#[test]
fn privileges_to_put_code_on_tables_do_not_change_hands() {
    let scene = scene();
    vectorize(&scene, "mallory", "m", "doc");
    let tables = "ai._vectorizer_q_1, ai._vectorizer_q_failed_1, ai._vectorizer_intake_1, m.doc_embedding_store";
    by(
        &scene,
        "mallory",
        &format!(
            "GRANT TRIGGER, REFERENCES, TRUNCATE, SELECT, INSERT ON {tables} TO victim WITH GRANT OPTION;
             GRANT REFERENCES (id) ON m.doc_embedding_store TO PUBLIC;
             GRANT ALL ON SEQUENCE ai._vectorizer_q_1_item_seq TO victim;
             ALTER TABLE m.doc_embedding_store ADD note text, ADD half halfvec(4);
             CREATE INDEX ON m.doc_embedding_store USING hash (chunk);
             CREATE INDEX ON m.doc_embedding_store (chunk_seq)"
        ),
    );
    scene.cluster.execute("ALTER TABLE m.doc OWNER TO ann");
    assert_eq!(owners(&scene, "doc"), ["ann"]);
    let granted = "SELECT DISTINCT a.privilege_type FROM ai._vectorizer v
                   JOIN pg_class c ON c.oid IN (v.target, v.queue, v.queue_failed, v.intake)
                       OR c.oid = 'ai._vectorizer_q_1_item_seq'::regclass
                   CROSS JOIN LATERAL (
                       SELECT * FROM aclexplode(c.relacl)
                       UNION ALL SELECT e.* FROM pg_attribute t CROSS JOIN LATERAL aclexplode(t.attacl) AS e WHERE t.attrelid = c.oid
                   ) AS a WHERE a.grantee <> c.relowner ORDER BY 1";
    assert_eq!(scene.cluster.column(granted), ["INSERT", "SELECT"]);
    let (code, _) = scene.cluster.refusal(
        "SET SESSION AUTHORIZATION victim;
         CREATE TRIGGER trap BEFORE INSERT ON m.doc_embedding_store FOR EACH ROW EXECUTE FUNCTION m.spring('granted')",
    );
    assert_eq!(code, "42501");
    scene.cluster.execute("RESET SESSION AUTHORIZATION");
    by(&scene, "ann", "INSERT INTO m.doc VALUES (1, 'one')");
    let embedded = "SELECT count(*) FROM m.doc_embedding_store";
    scene.cluster.wait_for("the new owner is served", embedded, "1");
}

/// The function is found by its triggers: without them it would keep the names of before.
#[test]
fn a_source_without_its_triggers_does_not_change_hands() {
    let scene = scene();
    for (number, suffix) in ["", "_delete", "_truncate"].iter().enumerate() {
        let n = number + 1;
        vectorize(&scene, "mallory", "m", &format!("doc{n}"));
        by(
            &scene,
            "mallory",
            &format!("DROP TRIGGER _vectorizer_src_trg_{n}{suffix} ON m.doc{n}"),
        );
        let (code, said) = scene.cluster.refusal(&format!("ALTER TABLE m.doc{n} OWNER TO ann"));
        assert_eq!(code, "55000", "{suffix}: {said}");
    }
    // Of a partitioned one.
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.part (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
         CREATE TABLE m.part_1 PARTITION OF m.part FOR VALUES FROM (0) TO (10);
         SELECT ai.create_vectorizer('m.part', name => 'part', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
    scene.cluster.execute("ALTER TABLE m.part OWNER TO ann");
    assert_eq!(owners(&scene, "part"), ["ann"]);
    scene.cluster.execute("ALTER TABLE m.part OWNER TO mallory");
    by(
        &scene,
        "mallory",
        "DROP TRIGGER _vectorizer_src_trg_4_truncate ON m.part",
    );
    let (code, said) = scene.cluster.refusal("ALTER TABLE m.part OWNER TO ann");
    assert_eq!(code, "55000", "{said}");
}

/// A view is given away where it is what the vectorizer would make: reading one's own view runs what is in it.
#[test]
fn a_view_with_code_in_it_stays_with_its_owner() {
    let scene = scene();
    by(
        &scene,
        "mallory",
        "CREATE FUNCTION m.check_it(text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN m.strike('domain'); END $$;
         CREATE DOMAIN m.d AS text CHECK (m.check_it(VALUE))",
    );
    let views = [
        "SELECT t.embedding_uuid, t.chunk_seq, (t.chunk::m.d)::text AS chunk, t.embedding, t.id, s.body
         FROM m.{doc}_embedding_store t LEFT JOIN m.{doc} s ON s.id = t.id",
        "SELECT t.embedding_uuid, t.chunk_seq, query_to_xml('select m.strike(''view'')', true, true, '')::text AS chunk, t.embedding,
             t.id, s.body
         FROM m.{doc}_embedding_store t LEFT JOIN m.{doc} s ON s.id = t.id",
        "SELECT t.embedding_uuid, t.chunk_seq, t.chunk, t.embedding, t.id, s.body
         FROM m.{doc}_embedding_store t LEFT JOIN m.{doc} s ON true",
    ];
    for (number, view) in views.iter().enumerate() {
        let doc = format!("doc{number}");
        vectorize(&scene, "mallory", "m", &doc);
        by(&scene, "mallory", &format!("INSERT INTO m.{doc} VALUES (1, 'one')"));
        let embedded = format!("SELECT count(*) FROM m.{doc}_embedding_store");
        scene.cluster.wait_for("embedded", &embedded, "1");
        let view = view.replace("{doc}", &doc);
        by(
            &scene,
            "mallory",
            &format!("CREATE OR REPLACE VIEW m.{doc}_embedding AS {view}; GRANT SELECT ON m.{doc}_embedding TO ann"),
        );
        scene.cluster.execute(&format!("ALTER TABLE m.{doc} OWNER TO ann"));
        let owner = format!("SELECT relowner::regrole FROM pg_class WHERE oid = 'm.{doc}_embedding'::regclass");
        assert_eq!(scene.cluster.value(&owner), "mallory", "{view}");
        assert_eq!(owners(&scene, &doc), ["ann"], "all but the view: {view}");
    }
    assert_only_mallory(&scene, "the views");
}

/// Nobody sees that a table is given away where event triggers are off.
#[test]
fn nothing_is_done_as_the_owner_of_the_source_on_tables_of_another() {
    let scene = scene();
    vectorize(&scene, "mallory", "m", "doc");
    vectorize(&scene, "ann", "a", "fine");
    by(
        &scene,
        "mallory",
        "CREATE TRIGGER trap BEFORE INSERT OR UPDATE ON ai._vectorizer_q_1 FOR EACH ROW EXECUTE FUNCTION m.spring('queue');
         CREATE TRIGGER trap BEFORE INSERT ON m.doc_embedding_store FOR EACH ROW EXECUTE FUNCTION m.spring('store')",
    );
    scene.cluster.execute(
        "SET session_replication_role = replica; ALTER TABLE m.doc OWNER TO ann; SET session_replication_role = origin",
    );
    by(&scene, "ann", "INSERT INTO m.doc VALUES (1, 'one')");
    let reason = || {
        let sql = "SELECT coalesce(reason, '') FROM ai.worker_status WHERE vectorizer = 'doc'";
        scene.cluster.value(sql)
    };
    scene.cluster.reload();
    wait_until("it is paused with the reason", DEADLINE, reason, |reason| {
        reason.contains("its source belongs to ann now, and the vectorizer works for mallory")
    });
    let verified = scene.cluster.try_rows("SELECT * FROM ai.verify_vectorizer('doc')");
    assert!(verified.is_err(), "{verified:?}");
    assert_only_mallory(&scene, "an owner of before");
    // Others go on.
    by(&scene, "ann", "INSERT INTO a.fine VALUES (1, 'one')");
    let embedded = "SELECT count(*) FROM a.fine_embedding_store";
    scene.cluster.wait_for("others go on", embedded, "1");
    // Looked at, and given away.
    scene.cluster.execute(
        "DROP TRIGGER trap ON ai._vectorizer_q_1; DROP TRIGGER trap ON m.doc_embedding_store; ALTER TABLE m.doc OWNER TO ann",
    );
    assert_eq!(owners(&scene, "doc"), ["ann"]);
    let embedded = "SELECT count(*) FROM m.doc_embedding_store";
    by(&scene, "ann", "UPDATE m.doc SET body = 'two'");
    scene.cluster.wait_for("the new owner is served", embedded, "1");
    // The same for a destination alone.
    scene
        .cluster
        .execute("ALTER TABLE m.doc_embedding_store OWNER TO mallory");
    wait_until("it is paused with the reason", DEADLINE, reason, |reason| {
        reason.contains("its source belongs to ann, but m.doc_embedding_store belongs to mallory")
    });
    scene.cluster.execute("ALTER TABLE m.doc_embedding_store OWNER TO ann");
    by(&scene, "ann", "INSERT INTO m.doc VALUES (2, 'two')");
    scene.cluster.wait_for("given back", embedded, "2");
}

/// A transaction that began before the vectorizer was made does not see it in its own view of the data.
#[test]
fn an_older_view_of_the_data_hides_no_vectorizer() {
    let scene = scene();
    by(&scene, "mallory", "CREATE TABLE m.doc (id int PRIMARY KEY, body text)");
    let mut old = scene.cluster.connect().expect("the server takes connections");
    old.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .expect("a transaction begins");
    by(
        &scene,
        "mallory",
        "SELECT ai.create_vectorizer('m.doc', name => 'doc', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         CREATE TRIGGER trap BEFORE INSERT ON m.doc_embedding_store FOR EACH ROW EXECUTE FUNCTION m.spring('store')",
    );
    let given = old.batch_execute("ALTER TABLE m.doc OWNER TO ann; COMMIT");
    assert!(given.is_err(), "what is on the destination is seen");
    old.batch_execute("ROLLBACK").expect("it ends");
    by(&scene, "mallory", "DROP TRIGGER trap ON m.doc_embedding_store");
    old.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .expect("a transaction begins");
    by(
        &scene,
        "mallory",
        "SELECT ai.create_vectorizer('m.doc', name => 'more', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4), destination => ai.destination_table('more'))",
    );
    old.batch_execute("ALTER TABLE m.doc OWNER TO ann; COMMIT")
        .expect("it is given away");
    assert_eq!(owners(&scene, "doc"), ["ann"]);
    assert_eq!(owners(&scene, "more"), ["ann"]);
}
