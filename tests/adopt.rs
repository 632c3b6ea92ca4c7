//! Vectorizers that pgai 0.12.1 made go on here: docs/adopt-pgai.sql, run on a database with pgai's own SQL in it and with
//! what its worker wrote. And the way back.

mod support;

use std::path::Path;

use support::{Database, Scene};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// A scene, and in it a database that pgai made, with nothing in its queues.
fn pgai() -> (Scene, Database) {
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
    for queue in shop.column("SELECT format('%I.%I', queue_schema, queue_table) FROM ai.vectorizer") {
        shop.execute(&format!("DELETE FROM {queue}"));
    }
    (scene, shop)
}

/// What pgai asks nobody for.
const GRANT: &str = "GRANT USAGE ON FOREIGN SERVER ai_openai TO page_owner";

fn data(name: &str) -> String {
    let path = Path::new(HERE).join("tests/data/pgai").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs the script; the rows that it prints, `id|name|outcome|pending|remark`.
fn adopt(scene: &Scene) -> Vec<String> {
    let (printed, complaints) = scene.cluster.psql("shop", &Path::new(HERE).join("docs/adopt-pgai.sql"));
    assert!(!complaints.contains("ERROR"), "{complaints}");
    printed.lines().map(str::to_owned).collect()
}

/// All that is stored: where, which, whose, text, vector.
fn stored(database: &Database) -> Vec<Vec<String>> {
    database.rows(
        "SELECT 'note', embedding_uuid, id::text, chunk_seq, chunk, embedding FROM note_embedding_store
         UNION ALL SELECT 'title', embedding_uuid, id::text, chunk_seq, chunk, embedding FROM note_titles_store
         UNION ALL SELECT 'draft', embedding_uuid, id::text, chunk_seq, chunk, embedding FROM draft_embedding_store
         UNION ALL SELECT 'page', embedding_uuid, site || number, chunk_seq, chunk, embedding
                   FROM work_queues.\"Page_chunks\"
         UNION ALL SELECT 'word', NULL, word, 0, word, meaning FROM word
         ORDER BY 1, 3, 4",
    )
}

fn inputs(scene: &Scene) -> Vec<String> {
    let mut inputs: Vec<String> = scene
        .provider
        .seen()
        .into_iter()
        .flat_map(|request| request.texts)
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn an_adopted_database_embeds_nothing_again() {
    let (scene, shop) = pgai();
    let before = stored(&shop);
    assert_eq!(before.len(), 30, "what pgai's worker wrote is there");
    let views = ["note_embedding", "note_titles", "site.page_search"];
    let columns = |view: &str| {
        shop.column(&format!(
            "SELECT attname FROM pg_attribute WHERE attrelid = '{view}'::regclass"
        ))
    };
    let shape: Vec<Vec<String>> = views.iter().map(|view| columns(view)).collect();
    // The columns of a key are in no certain order in pgai: each has its number.
    let config = "SELECT id, name, source_schema, source_table,
                         (SELECT jsonb_agg(k ORDER BY k) FROM jsonb_array_elements(source_pk) k), trigger_name, queue_schema, queue_table,
                         queue_failed_table, disabled, config - 'version' - 'scheduling'
                  FROM ai.vectorizer ORDER BY id";
    let vectorizers = shop.rows(config);

    assert_eq!(
        adopt(&scene),
        [
            "1|public_note_embedding_store|adopted|0|",
            "2|pages|adopted|0|",
            "3|public_word_meaning|adopted|0|",
            "4|titles|adopted|0|",
            "5|public_draft_embedding_store|adopted|0|",
        ]
    );
    assert_eq!(shop.rows(config), vectorizers);
    assert_eq!(views.iter().map(|view| columns(view)).collect::<Vec<_>>(), shape);
    assert_eq!(stored(&shop), before);

    // Every document is read and cut again, and comes out as pgai had it. Its owner is no superuser.
    shop.execute(GRANT);
    shop.execute("UPDATE note SET seen = seen + 1");
    shop.execute("UPDATE site.\"Page\" SET \"Text\" = \"Text\" || ' '");
    shop.execute("UPDATE draft SET body = body || ' '");
    shop.wait_until_settled();
    assert_eq!(stored(&shop), before);
    assert_eq!(inputs(&scene), Vec::<String>::new());
    assert_eq!(
        shop.rows("SELECT * FROM ai.vectorizer_errors"),
        Vec::<Vec<String>>::new()
    );
}

#[test]
fn what_waited_and_what_comes_is_embedded() {
    let (scene, shop) = pgai();
    let before = stored(&shop);
    for _ in 0..3 {
        shop.execute("UPDATE note SET title = 'Another title', seen = seen + 1 WHERE id = 2");
    }
    shop.execute("INSERT INTO note VALUES (6, 'A note that waits.', 'Title 6')");
    shop.execute("INSERT INTO note VALUES (8, 'A note that came and went.', 'Title 8')");
    shop.execute("DELETE FROM note WHERE id IN (4, 8)");
    shop.execute("UPDATE word SET hits = 1 WHERE word = 'winter'");
    shop.execute("INSERT INTO site.\"Page\" VALUES ('new', 9, 'A page that waits.')");
    shop.execute("SELECT ai.disable_vectorizer_schedule('pages')");
    shop.execute("INSERT INTO ai._vectorizer_q_failed_1 (id, failure_step) VALUES (3, 'loading'), (3, 'loading')");
    let adopted = adopt(&scene);
    shop.execute(GRANT);
    // 2, 6, and 8, whose row is gone.
    assert_eq!(adopted[0], "1|public_note_embedding_store|adopted|3|");
    assert_eq!(adopted[1], "2|pages|adopted|1|");
    let pending = "SELECT sum(pending_items) FROM ai.vectorizer_status WHERE name <> 'pages'";
    shop.wait_for("what waited is embedded", pending, "0");
    assert_eq!(
        inputs(&scene),
        ["A note that waits.", "Another title", "Title 6", "winter"]
    );
    assert_eq!(shop.value("SELECT count(*) FROM ai._vectorizer_q_failed_1"), "1");
    assert_eq!(
        shop.value("SELECT pending_items FROM ai.vectorizer_status WHERE name = 'pages'"),
        "1"
    );

    shop.execute("SELECT ai.enable_vectorizer_schedule('pages')");
    shop.wait_until_settled();
    shop.execute("INSERT INTO note VALUES (7, 'A new note.', 'Title 7')");
    shop.execute("DELETE FROM note WHERE id = 1");
    shop.execute("TRUNCATE draft");
    shop.execute("UPDATE site.\"Page\" SET number = 10 WHERE number = 9");
    shop.wait_until_settled();
    let after = stored(&shop);
    let has = |kind: &str, key: &str| after.iter().any(|row| row[0] == kind && row[2] == key);
    assert!(has("note", "7") && has("title", "7") && has("page", "new10"));
    assert!(!has("note", "1") && !has("title", "1") && !has("note", "4") && !has("page", "new9"));
    assert!(!after.iter().any(|row| row[0] == "draft"));
    let untouched = |row: &&Vec<String>| match row[0].as_str() {
        "note" | "title" => row[2] == "3",
        "page" => row[2].starts_with('a'),
        _ => row[2] != "winter" && row[0] == "word",
    };
    let of = |rows: &[Vec<String>]| -> Vec<Vec<String>> { rows.iter().filter(untouched).cloned().collect() };
    assert_eq!(of(&after), of(&before));
    assert_eq!(of(&after).len(), 14);

    // Ids go on where pgai's end, and one can be dropped like any other.
    let made = "SELECT ai.create_vectorizer('draft', name => 'another', loading => ai.loading_column('body'),
                    embedding => ai.embedding_openai('m', 8), destination => ai.destination_table('another'))";
    assert_eq!(shop.value(made), "6");
    shop.execute("SELECT ai.drop_vectorizer('titles', true)");
    assert_eq!(shop.value("SELECT to_regclass('note_titles_store')"), "NULL");
}

#[test]
fn owners_and_grants_stay() {
    let (scene, shop) = pgai();
    let may = |role: &str, privilege: &str, table: &str| {
        shop.value(&format!(
            "SELECT has_table_privilege('{role}', '{table}', '{privilege}')"
        )) == "t"
    };
    assert_eq!(adopt(&scene).len(), 5);
    for (privilege, table) in [
        ("SELECT", "note"),
        ("SELECT", "note_embedding"),
        ("INSERT", "note_embedding_store"),
        ("DELETE", "ai._vectorizer_q_1"),
        ("SELECT", "ai._vectorizer_q_failed_1"),
        ("UPDATE", "work_queues.\"Pages waiting\""),
    ] {
        assert!(may("reader", privilege, table), "{privilege} on {table}");
    }
    assert!(!may("reader", "SELECT", "ai._vectorizer_q_4"), "nobody granted that");
    let owners = "SELECT DISTINCT relowner::regrole FROM pg_class
                  WHERE oid IN ('work_queues.\"Page_chunks\"'::regclass, 'site.page_search'::regclass,
                                'work_queues.\"Pages waiting\"'::regclass)";
    assert_eq!(shop.column(owners), ["page_owner"]);
    assert_eq!(
        shop.column(
            "SELECT DISTINCT tgfoid::regproc::text FROM pg_trigger WHERE tgrelid = 'site.\"Page\"'::regclass ORDER BY 1"
        ),
        ["ai._append_change", "work_queues._vectorizer_src_trg_2"]
    );
    let (code, _) = shop.refusal(
        "SET ROLE page_owner;
         SELECT ai._adopt_vectorizer(9, 'mine', 'site.\"Page\"', '{}', false, 'ai', 'q', 'q', NULL)",
    );
    assert_eq!(code, "42501");
}

#[test]
fn what_cannot_be_adopted_stays_with_pgai_until_it_can() {
    let (scene, shop) = pgai();
    shop.execute("ALTER TABLE draft_embedding_store RENAME chunk TO piece");
    let adopted = adopt(&scene);
    assert_eq!(
        adopted[4],
        "5|public_draft_embedding_store|stays with pgai||public.draft_embedding_store has no column chunk"
    );
    assert_eq!(shop.value("SELECT count(*) FROM ai.vectorizer"), "4");
    // Its trigger goes on.
    shop.execute("INSERT INTO draft VALUES (3, 'The third draft.')");
    shop.execute("UPDATE draft SET body = 'Changed.' WHERE id = 1");
    shop.execute("DELETE FROM draft WHERE id = 2");
    assert_eq!(
        shop.column("SELECT id FROM pgai._vectorizer_q_5 ORDER BY 1"),
        ["1", "3"]
    );

    shop.execute("ALTER TABLE draft_embedding_store RENAME piece TO chunk");
    assert_eq!(adopt(&scene), ["5|public_draft_embedding_store|adopted|2|"]);
    shop.wait_until_settled();
    assert_eq!(inputs(&scene), ["Changed.", "The third draft."]);
    assert_eq!(adopt(&scene), Vec::<String>::new());
}

#[test]
fn a_forged_row_of_the_catalogue_opens_nothing() {
    let (scene, shop) = pgai();
    // pgai's documentation has people grant this.
    shop.execute("GRANT CREATE ON SCHEMA public TO reader; SELECT ai.grant_vectorizer_usage('reader')");
    shop.execute("GRANT SELECT ON site.\"Page\" TO PUBLIC; GRANT USAGE ON SCHEMA site TO reader");
    shop.execute("CREATE TABLE secret AS SELECT 'x' AS word; ALTER TABLE secret OWNER TO page_owner");
    shop.execute(
        "SET ROLE reader;
         CREATE VIEW peep AS SELECT * FROM secret;
         UPDATE ai.vectorizer
         SET config = jsonb_set(jsonb_set(config, '{destination,view_name}', '\"peep\"'),
                                '{destination,view_schema}', '\"public\"')
         WHERE name = 'pages';
         UPDATE ai.vectorizer SET config = jsonb_set(config, '{embedding,base_url}', '\"http://evil.example\"')
         WHERE name = 'titles';
         RESET ROLE",
    );
    let adopted = adopt(&scene);
    assert_eq!(
        adopted[1],
        "2|pages|stays with pgai||public.peep belongs to reader, who does not own site.\"Page\""
    );
    assert_eq!(
        adopted[3],
        "4|titles|adopted|0|disabled until you have looked at base_url http://evil.example"
    );
    assert_eq!(shop.column("SELECT name FROM ai.vectorizer WHERE disabled"), ["titles"]);
    let owner = "SELECT relowner::regrole FROM pg_class WHERE oid = 'peep'::regclass";
    assert_eq!(shop.value(owner), "reader");
}

#[test]
fn what_is_written_meanwhile_is_not_missed() {
    let (scene, shop) = pgai();
    let mut writer = shop.connect().expect("the server takes connections");
    let mut writing = writer.transaction().expect("a transaction begins");
    writing
        .batch_execute("INSERT INTO note VALUES (6, 'Written before.', 'Title 6')")
        .expect("pgai's trigger queues it");
    std::thread::scope(|threads| {
        let adoption = threads.spawn(|| adopt(&scene));
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'note'::regclass";
        shop.wait_for("the adoption waits for the writer", waiting, "1");
        let late = threads.spawn(|| {
            let mut late = shop.connect().expect("the server takes connections");
            late.batch_execute("INSERT INTO note VALUES (7, 'Written after.', 'Title 7')")
        });
        shop.wait_for("another writer waits for the adoption", waiting, "2");
        writing.commit().expect("the writer commits");
        assert_eq!(
            adoption.join().expect("the script ends")[0],
            "1|public_note_embedding_store|adopted|1|"
        );
        late.join().expect("no panic").expect("the late writer is let in");
    });
    shop.wait_until_settled();
    assert_eq!(
        inputs(&scene),
        ["Title 6", "Title 7", "Written after.", "Written before."]
    );
}

#[test]
fn there_is_a_way_back() {
    let (scene, shop) = pgai();
    let vectorizers = "SELECT * FROM ai.vectorizer ORDER BY id";
    let triggers = "SELECT tgrelid::regclass, tgname, pg_get_triggerdef(oid), tgfoid::regproc FROM pg_trigger
                    WHERE NOT tgisinternal ORDER BY 1, 2";
    let (before, hooks, kept) = (shop.rows(vectorizers), shop.rows(triggers), stored(&shop));
    shop.execute("ALTER TABLE draft_embedding_store RENAME chunk TO piece");
    adopt(&scene);
    shop.execute("SELECT ai.disable_vectorizer_schedule(id) FROM ai.vectorizer");
    shop.execute("UPDATE note SET title = 'Another title' WHERE id = 2");
    let script = Path::new(HERE).join("docs/return-to-pgai.sql");
    let (_, complaints) = scene.cluster.psql("shop", &script);
    assert!(!complaints.contains("ERROR"), "{complaints}");
    shop.execute("ALTER TABLE draft_embedding_store RENAME piece TO chunk");
    shop.execute("UPDATE ai.vectorizer SET disabled = false");
    assert_eq!(shop.rows(vectorizers), before);
    assert_eq!(shop.rows(triggers), hooks);
    assert_eq!(shop.column("SELECT id FROM ai._vectorizer_q_1"), ["2"]);
    shop.execute("INSERT INTO note VALUES (6, 'Back with pgai.')");
    shop.execute("INSERT INTO site.\"Page\" VALUES ('new', 9, 'Back with pgai.')");
    shop.execute("INSERT INTO draft VALUES (3, 'Back with pgai.')");
    assert_eq!(shop.column("SELECT id FROM ai._vectorizer_q_4 ORDER BY 1"), ["2", "6"]);
    assert_eq!(shop.column("SELECT number FROM work_queues.\"Pages waiting\""), ["9"]);
    assert_eq!(shop.column("SELECT id FROM ai._vectorizer_q_5"), ["3"]);
    assert_eq!(stored(&shop), kept);
}

#[test]
fn a_database_without_pgai_is_left_alone() {
    let scene = Scene::start();
    let script = Path::new(HERE).join("docs/adopt-pgai.sql");
    let (_, complaints) = scene.cluster.psql("postgres", &script);
    assert!(complaints.contains("there is nothing to adopt"), "{complaints}");
    scene.cluster.execute("CREATE DATABASE bare");
    let (_, complaints) = scene.cluster.psql("bare", &script);
    assert!(
        complaints.contains("there is no pgai of version 0.10 to 0.12"),
        "{complaints}"
    );
}
