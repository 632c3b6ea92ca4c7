//! A database that pgai 0.12.1 made, with mallory in it or not, and the scripts that lead here and back.

// Each file of tests/ is a program that compiles all of this and uses a part.
#![allow(dead_code)]

use std::path::Path;

use super::support::lair::LAIR;
use super::support::{Database, Scene};

pub const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// A scene, and in it a database that pgai made, with nothing in its queues.
pub fn pgai() -> (Scene, Database) {
    let scene = Scene::start();
    scene.cluster.execute("CREATE DATABASE shop");
    let shop = scene.cluster.database("shop");
    shop.execute("CREATE EXTENSION vector");
    let path = std::env::var("PGAI_SQL").expect("PGAI_SQL names the SQL of pgai: make check ONLY=integration sets it");
    // What pgai's installer does with it.
    let sql = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let sql = sql
        .replace("@extschema:vector@", "public")
        .replace("__version__", "0.12.1");
    shop.execute(&format!("BEGIN; {sql}; COMMIT"));
    shop.execute("RESET search_path");
    shop.execute(&data("setup.sql"));
    shop.execute(&data("written.sql"));
    shop.execute(HAND_OVER);
    for queue in shop.column("SELECT format('%I.%I', queue_schema, queue_table) FROM ai.vectorizer") {
        shop.execute(&format!("DELETE FROM {queue}"));
    }
    (scene, shop)
}

/// A superuser made it with pgai on the table of another, and gives it to the owner of the table, as the
/// script asks for.
const HAND_OVER: &str = "
    ALTER TABLE work_queues.\"Page_chunks\" OWNER TO page_owner;
    ALTER VIEW site.page_search OWNER TO page_owner;
    ALTER TABLE work_queues.\"Pages waiting\" OWNER TO page_owner;
    ALTER TABLE work_queues._vectorizer_q_failed_2 OWNER TO page_owner;
    ALTER FUNCTION work_queues._vectorizer_src_trg_2() OWNER TO page_owner";

pub fn data(name: &str) -> String {
    let path = Path::new(HERE).join("tests/data/pgai").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs the script; the rows that it prints, `id|name|outcome|pending|remark`.
pub fn adopt(scene: &Scene) -> Vec<String> {
    let (printed, complaints) = scene.cluster.psql("shop", &Path::new(HERE).join("docs/adopt-pgai.sql"));
    assert!(!complaints.contains("ERROR"), "{complaints}");
    printed.lines().map(str::to_owned).collect()
}

/// Mallory in the database that pgai made: with a table and a vectorizer of her own, and what pgai's
/// documentation has people grant, which includes UPDATE on its catalogue.
pub fn with_mallory() -> (Scene, Database) {
    let (scene, shop) = pgai();
    shop.execute(LAIR);
    shop.execute("GRANT CREATE ON SCHEMA ai TO mallory; SELECT ai.grant_vectorizer_usage('mallory')");
    shop.execute(
        "SET SESSION AUTHORIZATION mallory;
         CREATE TABLE m.doc (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('m.doc', name => 'hers', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8));
         INSERT INTO m.doc VALUES (1, 'one');
         RESET SESSION AUTHORIZATION",
    );
    (scene, shop)
}

pub fn assert_only_mallory_struck(shop: &Database) {
    let struck = "SELECT DISTINCT who || ' by ' || trap FROM m.struck WHERE who <> 'mallory' ORDER BY 1";
    assert_eq!(shop.column(struck), [""; 0]);
    let superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'";
    assert_eq!(shop.value(superuser), "f");
    let functions = "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner
                     WHERE r.rolname <> 'mallory' AND p.prosrc LIKE '%strike%'";
    assert_eq!(shop.column(functions), [""; 0], "nothing that she wrote is another's");
}

/// What the script says of a vectorizer.
pub fn remark(adopted: &[String], name: &str) -> String {
    let of = |row: &&String| row.split('|').nth(1) == Some(name);
    let row = adopted.iter().find(of).unwrap_or_else(|| panic!("{name}: {adopted:?}"));
    row.splitn(3, '|').nth(2).unwrap_or_default().to_owned()
}

pub fn by_mallory(shop: &Database, sql: &str) {
    shop.execute(&format!(
        "SET SESSION AUTHORIZATION mallory; {sql}; RESET SESSION AUTHORIZATION"
    ));
}

/// Runs the script that returns to pgai; what it complains of.
pub fn go_back(scene: &Scene) -> String {
    let script = Path::new(HERE).join("docs/return-to-pgai.sql");
    scene.cluster.psql("shop", &script).1
}
