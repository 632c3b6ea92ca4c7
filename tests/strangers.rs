//! Names, numbers and privileges by which the extension could come upon what is another's.

mod support;

use support::Scene;
use support::lair::{LAIR, assert_only_mallory, by, lair, vectorize};

/// An administrator grants what is to come to an application, and means its tables.
#[test]
fn default_privileges_open_nothing_of_the_extension() {
    let scene = Scene::start();
    scene
        .cluster
        .execute("DROP EXTENSION ai CASCADE; DROP SCHEMA IF EXISTS ai");
    scene.cluster.execute(LAIR);
    scene.cluster.execute(
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO mallory, PUBLIC;
         ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO mallory;
         ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO mallory;
         ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO mallory;
         CREATE EXTENSION ai CASCADE;
         GRANT USAGE ON FOREIGN SERVER ai_openai TO ann",
    );
    vectorize(&scene, "ann", "a", "doc");
    // By a superuser, on a table of ann.
    by(&scene, "ann", "CREATE TABLE a.more (id int PRIMARY KEY, body text)");
    scene.cluster.execute(
        "SELECT ai.create_vectorizer('a.more', name => 'more', loading => ai.loading_column('body'), queue_schema => 'a',
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
    let of_mallory = "
        SELECT c.oid::regclass || ' ' || a.privilege_type FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.relnamespace IN ('ai'::regnamespace, 'a'::regnamespace) AND a.grantee = 'mallory'::regrole
        UNION ALL
        SELECT p.oid::regprocedure || ' ' || a.privilege_type FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) AS a
        WHERE p.pronamespace IN ('ai'::regnamespace, 'a'::regnamespace) AND a.grantee = 'mallory'::regrole
        UNION ALL
        SELECT n.nspname || ' ' || a.privilege_type FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) AS a
        WHERE n.nspname = 'ai' AND a.grantee = 'mallory'::regrole";
    assert_eq!(scene.cluster.column(of_mallory), [""; 0]);
    let of_everybody = "
        SELECT DISTINCT c.relname || ' ' || a.privilege_type FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.relnamespace IN ('ai'::regnamespace, 'a'::regnamespace) AND a.grantee = 0 AND c.relkind IN ('r', 'S')";
    assert_eq!(scene.cluster.column(of_everybody), [""; 0]);
    by(
        &scene,
        "ann",
        "INSERT INTO a.doc VALUES (1, 'one'); INSERT INTO a.more VALUES (1, 'one')",
    );
    let embedded =
        "SELECT (SELECT count(*) FROM a.doc_embedding_store) + (SELECT count(*) FROM a.more_embedding_store)";
    scene.cluster.wait_for("both work", embedded, "2");
    // What an owner's own defaults say of the tables that it makes is meant.
    by(
        &scene,
        "ann",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO victim",
    );
    vectorize(&scene, "ann", "a", "own");
    let granted = "SELECT has_table_privilege('victim', 'a.own_embedding', 'SELECT'),
                          has_table_privilege('victim', 'ai._vectorizer_intake_3', 'SELECT')";
    assert_eq!(scene.cluster.rows(granted), [["t", "f"]]);
}

/// A name leads to the operator that fits its operands best: for a domain, that may be one that another role has made.
#[test]
fn the_operator_of_the_key_is_that_of_its_index() {
    let scene = lair();
    scene.cluster.execute(
        "CREATE SCHEMA types; CREATE EXTENSION citext SCHEMA types;
         GRANT USAGE ON SCHEMA types TO PUBLIC; GRANT CREATE ON SCHEMA types TO mallory; GRANT USAGE ON SCHEMA a TO PUBLIC",
    );
    by(
        &scene,
        "ann",
        "CREATE DOMAIN a.email AS types.citext;
         CREATE TABLE a.person (mail a.email PRIMARY KEY, body text);
         CREATE TABLE a.pair (mail a.email, n int, body text, PRIMARY KEY (mail, n))",
    );
    by(
        &scene,
        "mallory",
        "GRANT EXECUTE ON FUNCTION m.strike TO PUBLIC; GRANT EXECUTE ON FUNCTION m.note TO PUBLIC;
         CREATE FUNCTION m.same(a.email, a.email) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN m.strike('='); END $$;
         GRANT EXECUTE ON FUNCTION m.same TO PUBLIC;
         CREATE OPERATOR types.= (LEFTARG = a.email, RIGHTARG = a.email, FUNCTION = m.same)",
    );
    for (number, table) in ["person", "pair"].iter().enumerate() {
        by(
            &scene,
            "ann",
            &format!(
                "SELECT ai.create_vectorizer('a.{table}', name => '{table}', loading => ai.loading_column('body'),
                     embedding => ai.embedding_openai('text-embedding-3-small', 4))"
            ),
        );
        let row = if number == 0 { "'One'" } else { "'One', 1" };
        let columns = if number == 0 { "mail" } else { "mail, n" };
        by(
            &scene,
            "ann",
            &format!(
                "INSERT INTO a.{table} ({columns}, body) VALUES ({row}, 'one'); UPDATE a.{table} SET mail = 'ONE', body = 'two'"
            ),
        );
        let embedded = format!("SELECT string_agg(chunk, ' ') FROM a.{table}_embedding");
        scene.cluster.wait_for("it is embedded", &embedded, "two");
        by(
            &scene,
            "ann",
            &format!("DELETE FROM a.{table} WHERE mail OPERATOR(pg_catalog.=) 'ONE'::text"),
        );
        let left = format!("SELECT count(*) FROM a.{table}_embedding_store");
        scene.cluster.wait_for("it goes", &left, "0");
        by(&scene, "ann", &format!("SELECT * FROM ai.verify_vectorizer('{table}')"));
    }
    assert_only_mallory(&scene, "the operator");
    assert_eq!(scene.cluster.column("SELECT trap FROM m.struck"), [""; 0]);
}

/// Only what was a part of the source has it looked through.
#[test]
fn triggers_of_others_prune_nothing() {
    let scene = lair();
    by(
        &scene,
        "ann",
        "CREATE TABLE a.part (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
         CREATE TABLE a.part_1 PARTITION OF a.part FOR VALUES FROM (0) TO (10);
         CREATE TABLE a.part_2 PARTITION OF a.part FOR VALUES FROM (10) TO (20);
         SELECT ai.create_vectorizer('a.part', name => 'part', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         INSERT INTO a.part VALUES (1, 'one'), (11, 'eleven')",
    );
    let chunks = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM a.part_embedding_store";
    scene.cluster.wait_for("embedded", chunks, "1 11");
    scene.cluster.wait_until_settled();
    // A stray, which pruning removes.
    by(
        &scene,
        "ann",
        "INSERT INTO a.part_embedding_store (id, chunk_seq, chunk, embedding) VALUES (99, 0, 'stray', '[1,2,3,4]')",
    );
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.x (id int);
         CREATE TRIGGER _vectorizer_src_trg_1_truncate AFTER TRUNCATE ON m.x EXECUTE FUNCTION m.spring('x');
         DROP TRIGGER _vectorizer_src_trg_1_truncate ON m.x;
         CREATE TRIGGER _vectorizer_src_trg_1_truncate AFTER TRUNCATE ON m.x EXECUTE FUNCTION m.spring('x');
         DROP TABLE m.x",
    );
    assert_eq!(scene.cluster.value(chunks), "1 11 99");
    // What leaves takes its chunks along, and what goes.
    by(&scene, "ann", "ALTER TABLE a.part DETACH PARTITION a.part_2");
    scene.cluster.wait_for("it has left", chunks, "1");
    by(&scene, "ann", "DROP TABLE a.part_1");
    scene.cluster.wait_for("it is gone", chunks, "NULL");
}

/// The numbers in a row of the catalogue may be those of other tables by now.
#[test]
fn numbers_of_others_tables_drop_nothing() {
    let scene = lair();
    for (number, columns) in [
        "queue_failed = 'a.precious'",
        "queue = 'a.precious', queue_failed = 'a.precious', intake = 'a.precious'",
    ]
    .iter()
    .enumerate()
    {
        let n = number + 1;
        let precious = "DROP TABLE IF EXISTS a.precious; CREATE TABLE a.precious (id int PRIMARY KEY); INSERT INTO a.precious VALUES (1)";
        by(&scene, "ann", precious);
        vectorize(&scene, "mallory", "m", &format!("doc{n}"));
        // As after a dump and a restore, of numbers that led nowhere.
        scene
            .cluster
            .execute(&format!("UPDATE ai._vectorizer SET {columns} WHERE id = {n}"));
        if n == 2 {
            scene
                .cluster
                .execute("UPDATE ai._vectorizer SET trigger_function = 'm.gone' WHERE id = 2");
        }
        by(&scene, "mallory", &format!("DROP TABLE m.doc{n} CASCADE"));
        assert_eq!(scene.cluster.value("SELECT count(*) FROM a.precious"), "1", "{columns}");
        let left = format!("SELECT count(*) FROM ai._vectorizer WHERE id = {n}");
        assert_eq!(scene.cluster.value(&left), "0");
    }
    // A transaction with an older view of the data drops the vectorizer with its table.
    by(&scene, "mallory", "CREATE TABLE m.late (id int PRIMARY KEY, body text)");
    let mut old = scene.cluster.connect().expect("the server takes connections");
    old.batch_execute("SET SESSION AUTHORIZATION mallory; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .expect("a transaction begins");
    by(
        &scene,
        "mallory",
        "SELECT ai.create_vectorizer('m.late', name => 'late', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
    old.batch_execute("DROP TABLE m.late CASCADE; COMMIT")
        .expect("it is hers");
    assert_eq!(scene.cluster.value("SELECT count(*) FROM ai._vectorizer"), "0");
    let left = "SELECT relname FROM pg_class WHERE relname LIKE '_vectorizer_q%_3'";
    assert_eq!(scene.cluster.column(left), [""; 0]);
    // What a session takes along is no place for a queue or a destination.
    by(&scene, "mallory", "CREATE TABLE m.doc (id int PRIMARY KEY, body text)");
    for place in [
        "queue_schema => 'pg_temp'",
        "destination => ai.destination_table('x', target_schema => 'pg_temp')",
        "destination => ai.destination_table('x', view_schema => 'pg_temp')",
    ] {
        let (code, said) = scene.cluster.refusal(&format!(
            "SET SESSION AUTHORIZATION mallory;
             SELECT ai.create_vectorizer('m.doc', name => 'doc', loading => ai.loading_column('body'), {place},
                 embedding => ai.embedding_openai('text-embedding-3-small', 4))"
        ));
        assert_eq!(code, "42P16", "{place}: {said}");
        scene.cluster.execute("RESET SESSION AUTHORIZATION");
    }
}

/// The owner of schemas has another's table take the name of her own while a statement waits for hers.
#[test]
fn a_trigger_for_replicas_is_put_on_no_table_of_another() {
    let scene = lair();
    scene.cluster.execute(
        "GRANT CREATE ON DATABASE postgres TO mallory; CREATE SCHEMA other AUTHORIZATION mallory;
         CREATE TABLE other.doc (id int PRIMARY KEY, body text)",
    );
    by(
        &scene,
        "mallory",
        "CREATE SCHEMA here;
         CREATE TABLE here.doc (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('here.doc', name => 'doc', queue_schema => 'here', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         CREATE FUNCTION other._vectorizer_src_trg_1() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM m.strike('replica'); RETURN NULL; END $$",
    );
    let mut hers = scene.cluster.connect().expect("the server takes connections");
    hers.batch_execute("SET SESSION AUTHORIZATION mallory; BEGIN; LOCK TABLE here.doc")
        .expect("it is her table");
    std::thread::scope(|scope| {
        let following = scope.spawn(|| {
            let mut session = scene.cluster.connect().expect("the server takes connections");
            session.batch_execute("SET SESSION AUTHORIZATION mallory; SELECT ai.follow_replication('doc')")
        });
        let waits = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                     WHERE NOT l.granted AND a.query LIKE '%follow_replication%' AND a.pid <> pg_backend_pid()";
        scene.cluster.wait_for("it waits for her", waits, "1");
        hers.batch_execute("ALTER SCHEMA here RENAME TO gone; ALTER SCHEMA other RENAME TO here; COMMIT")
            .expect("they are her schemas");
        _ = following.join().expect("the session does not panic");
    });
    let triggers = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'here.doc'::regclass";
    assert_eq!(scene.cluster.value(triggers), "0");
    let hers = "SELECT count(*) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                WHERE t.tgname LIKE '%_replica' AND p.pronamespace = 'here'::regnamespace";
    assert_eq!(scene.cluster.value(hers), "0");
    assert_only_mallory(&scene, "a trigger for replicas");
}

/// However far a forged row of pgai's has brought them.
#[test]
fn numbers_of_vectorizers_begin_anew() {
    let scene = lair();
    vectorize(&scene, "ann", "a", "first");
    scene
        .cluster
        .execute("SELECT setval('ai.vectorizer_id_seq', 2147483646)");
    for (name, id) in [("last", "2147483647"), ("again", "2"), ("more", "3")] {
        vectorize(&scene, "ann", "a", name);
        let given = format!("SELECT id FROM ai._vectorizer WHERE name = '{name}'");
        assert_eq!(scene.cluster.value(&given), id);
    }
}
