//! Row security that applies to the owner of a source. A row that a policy hides is not gone: nothing is
//! removed for it, and the vectorizer stands still and says why.

mod support;

#[path = "support/notes.rs"]
mod notes;

use notes::verified;
use support::{Cluster, Scene};

const EMBEDDED: &str = "SELECT string_agg(id || ':' || chunk, ' ' ORDER BY id) FROM doc_embedding_store";

/// A plain role that owns the table `doc`, and uses it as it is by now.
fn scene(doc: &str) -> Scene {
    let scene = Scene::start();
    scene.cluster.execute(
        "CREATE ROLE owner; CREATE ROLE other; GRANT CREATE ON SCHEMA public TO owner, other;
         GRANT USAGE ON FOREIGN SERVER ai_openai TO owner",
    );
    as_owner(&scene.cluster, doc);
    scene
}

fn as_owner(cluster: &Cluster, sql: &str) {
    cluster.execute(&format!("SET SESSION AUTHORIZATION owner; {sql}"));
    cluster.execute("RESET SESSION AUTHORIZATION");
}

const DOC: &str = "CREATE TABLE doc (id int PRIMARY KEY, body text)";
const CREATE: &str = "SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'),
    embedding => ai.embedding_openai('text-embedding-3-small', 8))";
const HIDE_DOC: &str = "ALTER TABLE doc ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY";
const SHOW_DOC: &str = "ALTER TABLE doc NO FORCE ROW LEVEL SECURITY";

/// Rows 1 and 2, embedded.
fn embedded() -> Scene {
    let scene = scene(DOC);
    as_owner(
        &scene.cluster,
        &format!("{CREATE}; INSERT INTO doc VALUES (1, 'one'), (2, 'two')"),
    );
    scene.cluster.wait_for("embedded", EMBEDDED, "1:one 2:two");
    scene.cluster.wait_until_settled();
    scene
}

#[track_caller]
fn wait_for_pause(cluster: &Cluster, table: &str) {
    let paused = format!(
        "SELECT count(*) FROM ai.worker_status WHERE process = 'vectorizer'
           AND reason LIKE 'paused until %row-level security of {table} applies to owner%'"
    );
    cluster.wait_for("it is paused", &paused, "1");
    let noted = "SELECT string_agg(details ->> 'hint', ' ') FROM ai.vectorizer_errors";
    let hint = cluster.value(noted);
    assert!(hint.contains("BYPASSRLS"), "{hint}");
}

#[test]
fn rows_that_a_policy_hides_from_the_owner_keep_their_chunks() {
    let scene = embedded();
    let cluster = &scene.cluster;
    as_owner(cluster, HIDE_DOC);
    // Written by somebody whom no policy concerns.
    cluster.execute("UPDATE doc SET body = 'three' WHERE id = 1");
    wait_for_pause(cluster, "public.doc");
    assert_eq!(cluster.value(EMBEDDED), "1:one 2:two");
    for repair in ["false", "true"] {
        let (code, message) = cluster.refusal(&format!("SELECT * FROM ai.verify_vectorizer('doc', {repair})"));
        assert_eq!(code, "55000", "{message}");
        assert!(
            message.contains("row-level security of public.doc applies to owner"),
            "{message}"
        );
    }
    as_owner(cluster, SHOW_DOC);
    cluster.wait_for("it goes on", EMBEDDED, "1:three 2:two");
    cluster.wait_until_settled();
    assert_eq!(verified(cluster, "doc"), [[""; 0]; 0]);
    assert_eq!(cluster.value("SELECT count(*) FROM ai.vectorizer_errors"), "0");
}

#[test]
fn a_policy_that_comes_unseen_removes_nothing() {
    let scene = embedded();
    let cluster = &scene.cluster;
    // Past the event trigger, as what a replica applies.
    cluster.execute(&format!(
        "SET session_replication_role = replica; {HIDE_DOC}; RESET session_replication_role"
    ));
    cluster.execute("UPDATE doc SET body = body || '!'");
    wait_for_pause(cluster, "public.doc");
    assert_eq!(cluster.value(EMBEDDED), "1:one 2:two");
    // A role that no policy concerns is no concern of the catalogue: it is found out at the next try.
    cluster.execute("ALTER ROLE owner BYPASSRLS; SELECT ai.retry_vectorizer('doc')");
    cluster.wait_for("it goes on", EMBEDDED, "1:one! 2:two!");
}

#[test]
fn whoever_makes_or_alters_such_a_vectorizer_is_warned() {
    let scene = scene(DOC);
    let cluster = &scene.cluster;
    as_owner(cluster, &format!("INSERT INTO doc VALUES (1, 'one'); {HIDE_DOC}"));
    let script = cluster.data().join("warned.sql");
    let said = |sql: &str| {
        std::fs::write(&script, format!("SET SESSION AUTHORIZATION owner; {sql};"))
            .expect("a folder that can be written to");
        cluster.psql("postgres", &script).1
    };
    let warning = "WARNING:  the vectorizer stands still: row-level security of public.doc applies to owner";
    let told = said(CREATE);
    assert!(
        told.contains(warning) && told.contains("NO FORCE ROW LEVEL SECURITY"),
        "{told}"
    );
    wait_for_pause(cluster, "public.doc");
    // What was there before the vectorizer is not forgotten.
    let told = said(SHOW_DOC);
    assert!(!told.contains("WARNING"), "{told}");
    cluster.wait_for("embedded", EMBEDDED, "1:one");
    let told = said("ALTER TABLE doc FORCE ROW LEVEL SECURITY");
    assert!(told.contains(warning), "{told}");
}

/// A destination that belongs to somebody else, and tables of the vectorizer itself.
#[test]
fn policies_on_what_the_worker_writes_to_stop_it() {
    let scene = embedded();
    let cluster = &scene.cluster;
    // Of another role it is no place to write to as the owner, whatever its policies say.
    cluster.execute(
        "ALTER TABLE doc_embedding_store OWNER TO other; GRANT ALL ON doc_embedding_store TO owner;
         ALTER TABLE doc_embedding_store ENABLE ROW LEVEL SECURITY",
    );
    let paused = "SELECT count(*) FROM ai.worker_status WHERE process = 'vectorizer'
                  AND reason LIKE 'paused until %public.doc_embedding_store belongs to other%'";
    cluster.wait_for("it is paused", paused, "1");
    cluster.execute("ALTER TABLE doc_embedding_store OWNER TO owner");
    for (hide, show, table) in [
        (
            "ALTER TABLE doc_embedding_store FORCE ROW LEVEL SECURITY",
            "ALTER TABLE doc_embedding_store NO FORCE ROW LEVEL SECURITY",
            "public.doc_embedding_store",
        ),
        (
            "ALTER TABLE ai._vectorizer_q_1 ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
            "ALTER TABLE ai._vectorizer_q_1 NO FORCE ROW LEVEL SECURITY",
            "ai.%vectorizer%q%1",
        ),
    ] {
        cluster.execute(hide);
        cluster.execute("UPDATE doc SET body = body || '.' WHERE id = 1; DELETE FROM doc WHERE id = 2");
        wait_for_pause(cluster, table);
        let kept = "SELECT count(*) FROM doc_embedding_store WHERE id = 1";
        assert_eq!(cluster.value(kept), "1", "{hide}");
        cluster.execute(show);
        cluster.execute("INSERT INTO doc VALUES (2, 'two')");
        let now = "SELECT (SELECT string_agg(id || ':' || body, ' ' ORDER BY id) FROM doc) =
                          (SELECT string_agg(id || ':' || chunk, ' ' ORDER BY id) FROM doc_embedding_store)";
        cluster.wait_for(show, now, "t");
        cluster.wait_until_settled();
    }
    // What was deleted while a policy hid its chunk leaves none behind.
    cluster.execute("ALTER TABLE doc_embedding_store FORCE ROW LEVEL SECURITY; DELETE FROM doc WHERE id = 1");
    wait_for_pause(cluster, "public.doc_embedding_store");
    cluster.execute("ALTER TABLE doc_embedding_store NO FORCE ROW LEVEL SECURITY");
    cluster.wait_for("cleared away", EMBEDDED, "2:two");
}

/// Whoever reads the whole is not concerned by policies of its parts. What leaves takes its own chunks along,
/// and no others.
#[test]
fn policies_of_partitions_and_of_their_whole() {
    let scene = scene("CREATE TABLE doc (id int PRIMARY KEY, body text) PARTITION BY LIST (id)");
    let cluster = &scene.cluster;
    as_owner(cluster, CREATE);
    for id in 1..=3 {
        as_owner(
            cluster,
            &format!(
                "CREATE TABLE doc_{id} (id int NOT NULL, body text); INSERT INTO doc_{id} VALUES ({id}, 'row {id}');
                 ALTER TABLE doc_{id} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
                 ALTER TABLE doc ATTACH PARTITION doc_{id} FOR VALUES IN ({id})"
            ),
        );
    }
    cluster.wait_for("embedded", EMBEDDED, "1:row 1 2:row 2 3:row 3");
    as_owner(
        cluster,
        &format!("{HIDE_DOC}; ALTER TABLE doc DETACH PARTITION doc_1; TRUNCATE doc_2"),
    );
    assert_eq!(cluster.value(EMBEDDED), "3:row 3");
}

/// Two rows that change their keys with each other, seen by the triggers one after the other.
#[test]
fn keys_that_are_checked_late_are_not_looked_for_behind_a_policy() {
    let scene = scene("CREATE TABLE doc (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, body text)");
    let cluster = &scene.cluster;
    as_owner(
        cluster,
        &format!("{CREATE}; INSERT INTO doc VALUES (1, 'one'), (2, 'two')"),
    );
    cluster.wait_for("embedded", EMBEDDED, "1:one 2:two");
    cluster.wait_until_settled();
    as_owner(cluster, HIDE_DOC);
    cluster.execute("BEGIN; INSERT INTO doc VALUES (1, 'again'); DELETE FROM doc WHERE body = 'one'; COMMIT");
    assert_eq!(cluster.value(EMBEDDED), "1:one 2:two");
    as_owner(cluster, SHOW_DOC);
    cluster.wait_for("it goes on", EMBEDDED, "1:again 2:two");
}

/// What the owner's own triggers read is filtered as it ever was.
#[test]
fn triggers_of_the_owner_go_on_reading_through_policies() {
    let scene = embedded();
    let cluster = &scene.cluster;
    as_owner(
        cluster,
        "CREATE TABLE tenant (name text); INSERT INTO tenant VALUES ('ours'), ('theirs');
         ALTER TABLE tenant ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
         CREATE POLICY ours ON tenant USING (name = 'ours');
         CREATE TABLE seen (names text);
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO public.seen SELECT string_agg(t.name, ' ') FROM public.tenant t;
             RETURN NEW;
         END $$;
         CREATE TRIGGER look BEFORE INSERT ON doc_embedding_store FOR EACH ROW EXECUTE FUNCTION look();
         INSERT INTO doc VALUES (3, 'three')",
    );
    cluster.wait_for("embedded", EMBEDDED, "1:one 2:two 3:three");
    assert_eq!(cluster.column("SELECT names FROM seen"), ["ours"]);
}
