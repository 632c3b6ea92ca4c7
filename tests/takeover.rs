//! Owners who try to become somebody else by way of what the extension makes and keeps for them: the functions of their
//! triggers, the types of their columns, what their policies leave in the session of an administrator.

mod support;

use support::lair::{assert_only_mallory, by, lair, vectorize};
use support::{DEADLINE, Scene, wait_until};

/// Why the worker does nothing for a vectorizer.
fn obstacle(scene: &Scene, name: &str) -> String {
    let reason = "SELECT coalesce(reason, '') FROM ai.worker_status WHERE vectorizer = ";
    scene.cluster.value(&format!("{reason}'{name}'"))
}

/// The extension makes trigger functions anew when a table is altered. It knows them by name.
#[test]
fn a_function_is_not_made_anew_in_the_place_of_another() {
    let scene = lair();
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.doc (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('m.doc', name => 'doc', queue_schema => 'm', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         -- The name stays somebody's, but no function of triggers.
         CREATE FUNCTION m._vectorizer_src_trg_1(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
         DROP FUNCTION m._vectorizer_src_trg_1() CASCADE;
         ALTER TABLE m.doc ADD more int;
         CREATE TRIGGER trap BEFORE INSERT ON m._vectorizer_q_1 FOR EACH ROW EXECUTE FUNCTION m.spring('function')",
    );
    let made = "SELECT p.oid::regprocedure || ' of ' || pg_get_userbyid(p.proowner) FROM pg_proc p
                WHERE p.pronamespace = 'm'::regnamespace AND pg_get_userbyid(p.proowner) <> 'mallory'";
    assert_eq!(scene.cluster.column(made), [""; 0]);
    // Where there is one, it runs as its owner.
    let _ = scene.cluster.try_rows(
        "SET SESSION AUTHORIZATION mallory;
         CREATE TRIGGER run AFTER INSERT ON m.doc REFERENCING NEW TABLE AS new_rows
             FOR EACH STATEMENT EXECUTE FUNCTION m._vectorizer_src_trg_1();
         INSERT INTO m.doc VALUES (1, 'one')",
    );
    scene.cluster.execute("RESET SESSION AUTHORIZATION");
    assert_only_mallory(&scene, "a function in the place of another");
}

/// Nor is a function of somebody else given to her, or dropped.
#[test]
fn a_function_of_another_owner_is_left_alone() {
    let scene = lair();
    scene
        .cluster
        .execute("CREATE SCHEMA shared; GRANT ALL ON SCHEMA shared TO mallory, ann");
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.doc (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('m.doc', name => 'doc', queue_schema => 'shared', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         ALTER FUNCTION shared._vectorizer_src_trg_1() RENAME TO audit;
         DROP FUNCTION shared.audit() CASCADE",
    );
    let ann = "CREATE FUNCTION shared.audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN NEW; END $$";
    by(&scene, "ann", ann);
    let function = || {
        scene.cluster.column(
            "SELECT pg_get_userbyid(proowner) || ':' || prosrc FROM pg_proc WHERE oid = to_regproc('shared.audit')",
        )
    };
    let before = function();
    by(&scene, "mallory", "ALTER TABLE m.doc ADD more int");
    assert_eq!(function(), before, "after her table was altered");
    by(
        &scene,
        "ann",
        "CREATE TABLE a.log (id int); CREATE TRIGGER audit BEFORE INSERT ON a.log FOR EACH ROW EXECUTE FUNCTION shared.audit()",
    );
    let _ = scene
        .cluster
        .try_rows("SET SESSION AUTHORIZATION mallory; SELECT ai.drop_vectorizer('doc')");
    scene.cluster.execute("RESET SESSION AUTHORIZATION");
    let triggers = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'a.log'::regclass";
    assert_eq!(scene.cluster.column(triggers), ["audit"]);
    by(&scene, "mallory", "DROP TABLE m.doc CASCADE");
    assert_eq!(function(), before, "after her table was dropped");
    assert_eq!(scene.cluster.column(triggers), ["audit"]);
}

/// An administrator makes a vectorizer on a table of hers, whose rows are read as her.
#[test]
fn what_is_left_in_the_session_of_an_administrator_does_not_run_as_him() {
    let scene = lair();
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.doc (id int PRIMARY KEY, body text);
         INSERT INTO m.doc VALUES (1, 'one'), (2, 'two');
         CREATE FUNCTION m.hold() RETURNS bool LANGUAGE plpgsql AS $$
         BEGIN
             EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT m.strike(''held_cursor'' || n) FROM generate_series(1, 3) AS n';
             CREATE TEMP TABLE audit (what text);
             GRANT ALL ON audit TO PUBLIC;
             CREATE TRIGGER trap BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION m.spring('temporary');
             RETURN true;
         EXCEPTION WHEN OTHERS THEN
             RETURN true;
         END $$;
         ALTER TABLE m.doc ENABLE ROW LEVEL SECURITY;
         ALTER TABLE m.doc FORCE ROW LEVEL SECURITY;
         CREATE POLICY trap ON m.doc USING (m.hold())",
    );
    scene.cluster.execute(
        "SELECT ai.create_vectorizer('m.doc', name => 'doc', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
    assert_only_mallory(&scene, "what is held");
    // His own table is not hidden by one of hers.
    scene
        .cluster
        .execute("CREATE TABLE public.audit (what text); INSERT INTO audit VALUES ('his')");
    assert_only_mallory(&scene, "what is temporary");
    // While her policy may hide rows, her vectorizer stands still.
    by(&scene, "mallory", "ALTER TABLE m.doc NO FORCE ROW LEVEL SECURITY");
    let embedded = "SELECT count(*) FROM m.doc_embedding_store";
    scene.cluster.wait_for("her rows are embedded", embedded, "2");
}

/// The worker hands vectors over in the form of pgvector's type: another type would read them, and what is
/// behind them, as something else.
#[test]
fn vectors_are_handed_over_as_what_they_are() {
    let scene = lair();
    for (number, base) in ["bytea", "path"].iter().enumerate() {
        let name = format!("doc{number}");
        vectorize(&scene, "mallory", "m", &name);
        by(
            &scene,
            "mallory",
            &format!(
                "DROP DOMAIN IF EXISTS m.vector;
                 CREATE DOMAIN m.vector AS {base};
                 CREATE FUNCTION m.vector_dims(m.vector) RETURNS int LANGUAGE sql AS 'SELECT 4';
                 DROP VIEW m.{name}_embedding;
                 ALTER TABLE m.{name}_embedding_store ALTER embedding TYPE m.vector USING NULL;
                 INSERT INTO m.{name} VALUES (1, 'one')"
            ),
        );
        wait_until(
            "the vectorizer stands still",
            DEADLINE,
            || {
                (
                    obstacle(&scene, &name),
                    scene
                        .cluster
                        .value(&format!("SELECT count(*) FROM m.{name}_embedding_store")),
                )
            },
            |(reason, written)| {
                assert_eq!(written, "0", "as {base}");
                !reason.is_empty()
            },
        );
        by(
            &scene,
            "mallory",
            &format!("DROP TABLE m.{name} CASCADE; DROP TABLE m.{name}_embedding_store; DROP FUNCTION m.vector_dims"),
        );
    }
    // A narrower type of pgvector's own takes them.
    vectorize(&scene, "mallory", "m", "half");
    by(
        &scene,
        "mallory",
        "DROP VIEW m.half_embedding;
         ALTER TABLE m.half_embedding_store ALTER embedding TYPE halfvec(4);
         INSERT INTO m.half VALUES (1, 'one')",
    );
    let length = "SELECT coalesce(max(round(l2_norm(embedding)::numeric, 1)), 0) FROM m.half_embedding_store";
    scene.cluster.wait_for("a vector of half the width", length, "1.0");
}

/// Primary keys may be signed addresses: who watches over the server and may not read the table does not see them.
#[test]
fn keys_of_failed_documents_are_for_who_may_read_the_table() {
    let scene = lair();
    scene.cluster.execute("GRANT pg_monitor TO victim");
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.doc (uri text PRIMARY KEY);
         SELECT ai.create_vectorizer('m.doc', name => 'doc', loading => ai.loading_uri('uri'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4));
         INSERT INTO m.doc VALUES ('/canary')",
    );
    let failed = "SELECT count(*) FROM ai.vectorizer_failed";
    scene.cluster.wait_for("it fails", failed, "1");
    let asked = "SELECT primary_key::text IS NULL FROM ";
    for place in ["ai.vectorizer_failed", "ai._failed_documents()"] {
        let seen = scene
            .cluster
            .value(&format!("SET ROLE victim; {asked}{place}; RESET ROLE"));
        assert_eq!(seen, "t", "{place}");
        let seen = scene
            .cluster
            .value(&format!("SET ROLE mallory; {asked}{place}; RESET ROLE"));
        assert_eq!(seen, "f", "{place}");
    }
}

/// A trigger of hers that waits for the end of her transaction, in which the extension acts as somebody else.
#[test]
fn what_was_put_off_runs_as_who_put_it_off() {
    let scene = lair();
    scene.cluster.execute(
        "CREATE TABLE public.part (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
         CREATE TABLE public.part_1 PARTITION OF public.part FOR VALUES FROM (0) TO (10);
         SELECT ai.create_vectorizer('public.part', name => 'part', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.bait (id int);
         CREATE CONSTRAINT TRIGGER trap AFTER INSERT ON m.bait DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION m.spring('put off');
         CREATE TABLE m.other (id int);
         CREATE TRIGGER _vectorizer_src_trg_1_truncate AFTER TRUNCATE ON m.other EXECUTE FUNCTION m.spring('x');
         BEGIN;
         INSERT INTO m.bait VALUES (1);
         -- As if a partition had lost it.
         DROP TRIGGER _vectorizer_src_trg_1_truncate ON m.other;
         COMMIT",
    );
    assert_only_mallory(&scene, "what was put off");
    assert_eq!(scene.cluster.column("SELECT trap FROM m.struck"), ["put off"]);
}

/// Locks of a session outlive the transaction: the worker's session is not hers.
#[test]
fn advisory_locks_do_not_stay_with_the_worker() {
    let scene = lair();
    vectorize(&scene, "mallory", "m", "doc");
    by(
        &scene,
        "mallory",
        "CREATE FUNCTION m.hold() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             PERFORM pg_advisory_lock(NEW.id);
             IF NEW.id = 2 THEN
                 RAISE EXCEPTION 'and out';
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER trap BEFORE INSERT ON m.doc_embedding_store FOR EACH ROW EXECUTE FUNCTION m.hold();
         INSERT INTO m.doc VALUES (1, 'one');
         INSERT INTO m.doc VALUES (2, 'two')",
    );
    let done = "SELECT (SELECT count(*) FROM m.doc_embedding_store) + (SELECT count(*) FROM ai.vectorizer_errors)";
    scene.cluster.wait_for("one is written, the other is not", done, "2");
    let locks = "SELECT objid::text FROM pg_locks WHERE locktype = 'advisory'";
    wait_until(
        "no lock is held",
        DEADLINE,
        || scene.cluster.column(locks),
        Vec::is_empty,
    );
    assert!(
        scene.cluster.worker().is_some(),
        "the worker has not left, which would have ended them as well"
    );
}

/// A table of hers is given to ann, and what the extension keeps beside it goes along. Not what she made of it.
#[test]
fn a_view_that_reads_more_is_not_handed_over() {
    let scene = lair();
    vectorize(&scene, "mallory", "m", "doc");
    vectorize(&scene, "mallory", "m", "fine");
    by(
        &scene,
        "ann",
        "CREATE TABLE a.secret (body text); INSERT INTO a.secret VALUES ('canary')",
    );
    scene
        .cluster
        .execute("GRANT USAGE ON SCHEMA a TO mallory; GRANT ALL ON SCHEMA m TO ann");
    by(
        &scene,
        "mallory",
        "CREATE OR REPLACE VIEW m.doc_embedding AS
             SELECT t.embedding_uuid, t.chunk_seq, t.chunk, t.embedding, t.id, s.body
             FROM a.secret s LEFT JOIN m.doc_embedding_store t ON true;
         GRANT SELECT ON m.doc_embedding, m.fine_embedding TO PUBLIC",
    );
    scene
        .cluster
        .execute("ALTER TABLE m.doc OWNER TO ann; ALTER TABLE m.fine OWNER TO ann");
    let owners = "SELECT relname || ' of ' || pg_get_userbyid(relowner) FROM pg_class
                  WHERE relkind = 'v' AND relnamespace = 'm'::regnamespace ORDER BY 1";
    assert_eq!(
        scene.cluster.column(owners),
        ["doc_embedding of mallory", "fine_embedding of ann"]
    );
    let (code, _) = scene
        .cluster
        .refusal("SET SESSION AUTHORIZATION mallory; SELECT body FROM m.doc_embedding");
    assert_eq!(code, "42501");
    scene.cluster.execute("RESET SESSION AUTHORIZATION");
    by(&scene, "ann", "INSERT INTO m.doc VALUES (1, 'one')");
    let embedded = "SELECT count(*) FROM m.doc_embedding_store";
    scene.cluster.wait_for("the table works on", embedded, "1");
}

/// The key that was made for a role stays: without it, it would use that of the server.
#[test]
fn a_role_does_not_drop_the_key_that_was_made_for_it() {
    let scene = lair();
    scene.cluster.execute(
        "CREATE SERVER given TYPE 'openai' FOREIGN DATA WRAPPER ai_provider OPTIONS (api_key 'env:OPENAI_API_KEY');
         GRANT USAGE ON FOREIGN SERVER given TO mallory;
         CREATE USER MAPPING FOR mallory SERVER given OPTIONS (api_key 'env:HER_KEY')",
    );
    for sql in ["DROP USER MAPPING FOR mallory SERVER given", "DROP OWNED BY mallory"] {
        let (code, said) = scene
            .cluster
            .refusal(&format!("SET SESSION AUTHORIZATION mallory; {sql}"));
        assert_eq!(code, "42501", "{sql}: {said}");
        scene.cluster.execute("RESET SESSION AUTHORIZATION");
    }
    // What is not of the extension is hers to drop, and a superuser drops all.
    scene.cluster.execute(
        "CREATE FOREIGN DATA WRAPPER other; CREATE SERVER other FOREIGN DATA WRAPPER other;
         GRANT USAGE ON FOREIGN SERVER other TO mallory",
    );
    by(
        &scene,
        "mallory",
        "CREATE USER MAPPING FOR mallory SERVER other; DROP USER MAPPING FOR mallory SERVER other",
    );
    scene
        .cluster
        .execute("DROP USER MAPPING FOR mallory SERVER given; DROP OWNED BY mallory");
}

/// The extension reads what it put aside of a large document between the portions that the owner's triggers see.
#[test]
fn operators_of_an_owner_are_not_those_of_the_extension() {
    let scene = lair();
    by(
        &scene,
        "mallory",
        "CREATE FUNCTION m.same(int, int) RETURNS bool LANGUAGE plpgsql AS $$
             BEGIN PERFORM m.strike('= of int'); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
         CREATE OPERATOR m.= (LEFTARG = int, RIGHTARG = int, FUNCTION = m.same);
         CREATE FUNCTION m.same(bigint, bigint) RETURNS bool LANGUAGE plpgsql AS $$
             BEGIN PERFORM m.strike('= of bigint'); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
         CREATE OPERATOR m.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = m.same);
         CREATE FUNCTION m.lead() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM pg_catalog.set_config('search_path', 'm, pg_catalog', false); RETURN NEW; END $$;
         CREATE TABLE m.doc (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('m.doc', name => 'doc', loading => ai.loading_column('body'),
             chunking => ai.chunking_character_text_splitter(1, 0, E'\\n'),
             embedding => ai.embedding_openai('text-embedding-3-large', 3072));
         CREATE TRIGGER trap BEFORE INSERT ON m.doc_embedding_store FOR EACH ROW EXECUTE FUNCTION m.lead();
         INSERT INTO m.doc SELECT 1, string_agg('line ' || i, E'\\n') FROM generate_series(1, 800) i",
    );
    let embedded = "SELECT count(*) FROM m.doc_embedding_store";
    scene.cluster.wait_for("three portions are written", embedded, "800");
    assert_only_mallory(&scene, "her operators");
}

/// The same in the worker, where her trigger alters tables, and the extension acts as others on that account.
#[test]
fn what_was_put_off_in_the_worker_runs_as_who_put_it_off() {
    let scene = lair();
    scene.cluster.execute(
        "CREATE TABLE public.part (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
         CREATE TABLE public.part_1 PARTITION OF public.part FOR VALUES FROM (0) TO (10);
         SELECT ai.create_vectorizer('public.part', name => 'part', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 4))",
    );
    vectorize(&scene, "mallory", "m", "doc");
    by(
        &scene,
        "mallory",
        "CREATE TABLE m.bait (id int);
         CREATE CONSTRAINT TRIGGER trap AFTER INSERT ON m.bait DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION m.spring('put off');
         CREATE TABLE m.other (id int PRIMARY KEY, body text);
         CREATE TRIGGER _vectorizer_src_trg_1_truncate AFTER TRUNCATE ON m.other EXECUTE FUNCTION m.spring('x');
         CREATE FUNCTION m.alter() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO m.bait VALUES (1);
             DROP TRIGGER _vectorizer_src_trg_1_truncate ON m.other;
             PERFORM ai.create_vectorizer('m.other', name => 'other', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 4));
             RETURN NEW;
         END $$;
         CREATE TRIGGER trap BEFORE INSERT ON m.doc_embedding_store FOR EACH ROW EXECUTE FUNCTION m.alter();
         INSERT INTO m.doc VALUES (1, 'one')",
    );
    let embedded = "SELECT count(*) FROM m.doc_embedding_store";
    scene.cluster.wait_for("her row is embedded", embedded, "1");
    assert_only_mallory(&scene, "what was put off in the worker");
    assert_eq!(scene.cluster.column("SELECT trap FROM m.struck"), ["put off"]);
    by(&scene, "mallory", "INSERT INTO m.other VALUES (1, 'one')");
    let embedded = "SELECT count(*) FROM m.other_embedding_store";
    scene.cluster.wait_for("what her trigger made works", embedded, "1");
}

/// Her failed queue reads a table of ann, or runs what she wrote, as soon as it is ann's. (A rule makes a
/// table a view up to Postgres 15.)
#[test]
fn what_was_made_of_a_table_of_a_vectorizer_does_not_change_hands() {
    let scene = lair();
    by(
        &scene,
        "ann",
        "CREATE TABLE a.secret (body text); INSERT INTO a.secret VALUES ('canary')",
    );
    scene
        .cluster
        .execute("GRANT USAGE ON SCHEMA a TO mallory; GRANT ALL ON SCHEMA m TO ann; GRANT EXECUTE ON FUNCTION m.strike TO PUBLIC");
    let burdens = [
        (
            "CREATE RULE \"_RETURN\" AS ON SELECT TO {table} DO INSTEAD
                 SELECT (r).* FROM (SELECT NULL::{table} AS r FROM a.secret) AS s",
            "it is no table any more",
        ),
        (
            "CREATE RULE leak AS ON INSERT TO {table} DO ALSO SELECT * FROM a.secret",
            "it has rules",
        ),
        (
            "CREATE TRIGGER trap BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION m.spring('trigger')",
            "it has triggers",
        ),
        (
            "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; CREATE POLICY trap ON {table} USING (m.strike('policy'))",
            "it has policies",
        ),
        (
            "CREATE TABLE m.child_{n} () INHERITS ({table})",
            "it inherits, or is inherited from",
        ),
        ("CREATE INDEX ON {table} ((m.strike(id::text)))", "what its owner wrote"),
        (
            "ALTER TABLE {table} ADD CHECK (m.strike(id::text))",
            "what its owner wrote",
        ),
        (
            "ALTER TABLE {table} ADD x bool DEFAULT m.strike('default')",
            "what its owner wrote",
        ),
        (
            "ALTER TABLE {table} ADD x bool GENERATED ALWAYS AS (m.strike('generated')) STORED",
            "what its owner wrote",
        ),
        (
            "CREATE STATISTICS m.s_{n} ON (m.strike(id::text)), id FROM {table}",
            "what its owner wrote",
        ),
        (
            "CREATE DOMAIN m.d_{n} AS int CHECK (m.strike('domain')); ALTER TABLE {table} ADD x m.d_{n}",
            "what its owner wrote",
        ),
        ("ALTER TABLE {table} OWNER TO bert", "it belongs to bert"),
    ];
    scene
        .cluster
        .execute("CREATE ROLE bert; GRANT bert TO mallory; GRANT ALL ON SCHEMA m, ai TO bert");
    let mut number = 0;
    for (burden, why) in burdens {
        for table in [
            "ai._vectorizer_q_{n}",
            "ai._vectorizer_q_failed_{n}",
            "ai._vectorizer_intake_{n}",
            "m.doc{n}_embedding_store",
        ] {
            // Postgres refuses to make a view of a table with a primary key that others refer to, and the like.
            number += 1;
            let n = number.to_string();
            vectorize(&scene, "mallory", "m", &format!("doc{n}"));
            let table = table.replace("{n}", &n);
            let burden = burden.replace("{table}", &table).replace("{n}", &n);
            let laid = scene
                .cluster
                .try_rows(&format!("SET SESSION AUTHORIZATION mallory; {burden}"));
            scene.cluster.execute("RESET SESSION AUTHORIZATION");
            if laid.is_err() && burden.contains("_RETURN") {
                continue;
            }
            assert!(laid.is_ok(), "{burden}: {laid:?}");
            let (code, said) = scene.cluster.refusal(&format!("ALTER TABLE m.doc{n} OWNER TO ann"));
            assert_eq!(code, "55000", "{burden}: {said}");
            let owners = format!(
                "SELECT DISTINCT pg_get_userbyid(c.relowner) FROM ai._vectorizer v
                 JOIN pg_class c ON c.oid IN (v.source, v.target, v.view, v.queue, v.queue_failed, v.intake)
                 WHERE v.id = {n} AND c.relowner <> 'bert'::regrole"
            );
            assert_eq!(scene.cluster.column(&owners), ["mallory"], "{burden}: {why}");
        }
    }
    assert_only_mallory(&scene, "the tables");
}

/// Nor the function of her triggers: it runs as its owner, whoever fires it.
#[test]
fn what_was_made_of_a_function_of_a_vectorizer_does_not_change_hands() {
    let scene = lair();
    scene.cluster.execute("GRANT ALL ON SCHEMA m TO ann");
    for (number, burden) in [
        "CREATE TABLE m.other (id int PRIMARY KEY);
         CREATE TRIGGER steal AFTER TRUNCATE ON m.other EXECUTE FUNCTION ai._vectorizer_src_trg_1()",
        "GRANT EXECUTE ON FUNCTION ai._vectorizer_src_trg_2() TO victim",
    ]
    .iter()
    .enumerate()
    {
        let n = number + 1;
        vectorize(&scene, "mallory", "m", &format!("doc{n}"));
        by(&scene, "mallory", burden);
        let (code, said) = scene.cluster.refusal(&format!("ALTER TABLE m.doc{n} OWNER TO ann"));
        assert_eq!(code, "55000", "{burden}: {said}");
    }
    // Settings of hers, and a body, are undone.
    vectorize(&scene, "mallory", "m", "doc3");
    by(
        &scene,
        "mallory",
        "ALTER FUNCTION ai._vectorizer_src_trg_3() SET search_path = m; ALTER FUNCTION ai._vectorizer_src_trg_3() SET work_mem = '1MB'",
    );
    scene.cluster.execute("ALTER TABLE m.doc3 OWNER TO ann");
    let settings =
        "SELECT pg_get_userbyid(proowner) || ' ' || proconfig[1] || ' ' || cardinality(proconfig) FROM pg_proc
                    WHERE proname = '_vectorizer_src_trg_3'";
    assert_eq!(scene.cluster.value(settings), "ann search_path=pg_catalog, pg_temp 6");
    by(&scene, "ann", "INSERT INTO m.doc3 VALUES (1, 'one')");
    let embedded = "SELECT count(*) FROM m.doc3_embedding_store";
    scene.cluster.wait_for("the new owner is served", embedded, "1");
}

/// What is noted of documents, and whether there is a vectorizer at all, is for its owner, as whom its triggers ask.
#[test]
fn strangers_are_told_nothing_of_a_vectorizer() {
    let scene = lair();
    vectorize(&scene, "ann", "a", "doc");
    by(&scene, "ann", "INSERT INTO a.doc VALUES (1, 'one')");
    scene
        .cluster
        .wait_for("embedded", "SELECT count(*) FROM a.doc_embedding_store", "1");
    scene.cluster.wait_until_settled();
    scene.cluster.execute(
        "INSERT INTO ai._vectorizer_document SELECT 1, '{}', 't', '', '', 1 WHERE NOT EXISTS (SELECT FROM ai._vectorizer_document);
         INSERT INTO ai._vectorizer_errors (id, message, step, failure_class, primary_key) VALUES (1, 'm', 'embedding', 'cut', '{}')",
    );
    let intake: u32 = scene
        .cluster
        .value("SELECT intake::oid::text FROM ai._vectorizer WHERE id = 1")
        .parse()
        .expect("an OID is a number");
    let asked =
        format!("SELECT ai._has_cuts(1), ai._remembers_documents(1), ai._wake_worker(1, {intake}::oid::regclass)");
    let told = |role: &str| {
        scene.cluster.execute(&format!("SET SESSION AUTHORIZATION {role}"));
        let told = scene.cluster.rows(&asked);
        scene.cluster.execute("RESET SESSION AUTHORIZATION");
        told
    };
    assert_eq!(told("ann"), [["t", "t", "t"]]);
    assert_eq!(told("mallory"), [["f", "f", "f"]]);
    // In a session that has learned it as somebody else.
    let script = scene.cluster.data().join("asked.sql");
    std::fs::write(&script, format!("SET ROLE ann; {asked}; SET ROLE mallory; {asked};"))
        .expect("a folder that can be written to");
    assert_eq!(scene.cluster.psql("postgres", &script).0, "SET\nt|t|t\nSET\nf|f|f\n");
    // Neither do those who may look at the queue.
    scene.cluster.execute("GRANT SELECT ON ai._vectorizer_q_1 TO mallory");
    assert_eq!(told("mallory"), [["f", "f", "f"]]);
}
