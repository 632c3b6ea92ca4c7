//! Vectorizers that pgai 0.12.1 made go on here: docs/adopt-pgai.sql, run on a database with pgai's own SQL
//! in it and with what its worker wrote. And the way back.

mod support;

#[path = "support/shop.rs"]
mod shop;

use std::path::Path;

use shop::*;
use support::{Database, Scene};

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

/// What pgai asks nobody for.
const GRANT: &str = "GRANT USAGE ON FOREIGN SERVER ai_openai TO page_owner";

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
         SELECT ai._adopt_vectorizer(2)",
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
    assert_eq!(shop.column("SELECT id FROM ai._vectorizer_q_5 ORDER BY 1"), ["1", "3"]);

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
        "2|pages|stays with pgai||public.peep belongs to reader, who does not own site.\"Page\". If it is of this vectorizer: \
         ALTER VIEW public.peep OWNER TO page_owner"
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

/// The function of a trigger that she wrote, in a schema whose name looks like pgai's catalogue.
#[test]
fn no_function_that_another_wrote_is_made_by_the_script() {
    let (scene, shop) = with_mallory();
    let schemas = [
        "ai.vectorizer",
        "pgai.vectorizer",
        "ai._vectorizer_q_6",
        "pgai._vectorizer_q_6",
    ];
    for schema in schemas {
        shop.execute(&format!("CREATE SCHEMA \"{schema}\" AUTHORIZATION mallory"));
    }
    for (number, schema) in schemas.iter().enumerate() {
        by_mallory(
            &shop,
            &format!(
                "CREATE TABLE IF NOT EXISTS m.other (id int PRIMARY KEY, body text);
                 DROP TRIGGER IF EXISTS _vectorizer_src_trg_6 ON m.other;
                 CREATE OR REPLACE FUNCTION \"{schema}\"._vectorizer_src_trg_6() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
                     AS $$ BEGIN PERFORM m.strike('function {number}'); RETURN NULL; END $$;
                 CREATE TRIGGER _vectorizer_src_trg_6 AFTER INSERT ON m.other
                     FOR EACH ROW EXECUTE FUNCTION \"{schema}\"._vectorizer_src_trg_6()"
            ),
        );
        let catalogue = if number == 0 { "ai" } else { "pgai" };
        shop.execute(&format!(
            "UPDATE {catalogue}.vectorizer SET source_table = 'other', source_schema = 'm',
                 config = jsonb_set(config, '{{destination,target_table}}', '\"nothing\"') WHERE name = 'hers'"
        ));
        let said = remark(&adopt(&scene), "hers");
        assert!(said.starts_with("stays with pgai"), "{schema}: {said}");
        assert_only_mallory_struck(&shop);
    }
    // Nor on the way back.
    shop.execute("SELECT ai.drop_vectorizer(id) FROM ai.vectorizer WHERE id > 6");
    go_back(&scene);
    assert_only_mallory_struck(&shop);
}

/// Her row names what is a superuser's, or another role's, in place of what is hers.
#[test]
fn what_a_forged_row_names_stays_whose_it_is() {
    let (scene, shop) = with_mallory();
    let vault =
        "CREATE TABLE public.vault (embedding_uuid uuid, id int, chunk_seq int, chunk text, embedding vector(8),
                     queued_at timestamptz DEFAULT now(), loading_retries int, loading_retry_after timestamptz,
                     created_at timestamptz DEFAULT now(), failure_step text);
                 INSERT INTO vault (id, chunk) VALUES (1, 'secret');
                 CREATE VIEW public.vault_view AS SELECT * FROM public.vault";
    shop.execute(vault);
    let owners =
        "SELECT relname || ' in ' || relnamespace::regnamespace || ' of ' || pg_get_userbyid(relowner) FROM pg_class
                  WHERE relname LIKE 'vault%' ORDER BY 1";
    shop.execute("CREATE TABLE kept AS SELECT * FROM ai.vectorizer WHERE name = 'hers'");
    let destination = "config = jsonb_set(config, '{destination}', config -> 'destination' ||
                           '{\"target_schema\": \"public\", \"target_table\": \"vault\"}')";
    let view = "config = jsonb_set(config, '{destination}', config -> 'destination' ||
                    '{\"view_schema\": \"public\", \"view_name\": \"vault_view\"}')";
    let forgeries = [
        destination,
        view,
        "queue_schema = 'public', queue_table = 'vault'",
        "queue_schema = 'public', queue_failed_table = 'vault'",
        // A place of another, and one among the tables of the extension.
        "queue_schema = 'site'",
        "queue_table = 'vectorizer'",
        "queue_table = '_vectorizer_q_1'",
        "source_schema = 'site', source_table = 'Page'",
        "trigger_name = '_vectorizer_src_trg_2', source_schema = 'site', source_table = 'Page'",
        "id = 2147483647",
    ];
    let mut catalogue = "ai";
    for owner in ["postgres", "page_owner"] {
        shop.execute(&format!(
            "ALTER TABLE vault OWNER TO {owner}; ALTER VIEW vault_view OWNER TO {owner}"
        ));
        let before = shop.column(owners);
        for forgery in forgeries {
            shop.execute(&format!(
                "DELETE FROM {catalogue}.vectorizer p WHERE p.id = 2147483647 OR p.id = (SELECT id FROM kept);
                 INSERT INTO {catalogue}.vectorizer SELECT * FROM kept;
                 UPDATE {catalogue}.vectorizer SET {forgery} WHERE id = (SELECT id FROM kept)"
            ));
            let adopted = adopt(&scene);
            catalogue = "pgai";
            assert!(
                adopted.last().is_some_and(|row| row.contains("|stays with pgai|")),
                "{forgery}: {adopted:?}"
            );
            assert_eq!(shop.column(owners), before, "{forgery}");
            assert_eq!(shop.value("SELECT count(*) FROM vault"), "1", "{forgery}");
        }
    }
    // The forger's ids are not those that come next.
    let next = "SELECT nextval('ai.vectorizer_id_seq') < 1000";
    assert_eq!(shop.value(next), "t");
    // Nor is a queue put where one of theirs would be.
    shop.execute("GRANT ALL ON SCHEMA pgai TO mallory");
    by_mallory(&shop, "CREATE TABLE pgai._vectorizer_q_2147483647 (x int)");
    adopt(&scene);
    let planted = "SELECT to_regclass('ai._vectorizer_q_2147483647')";
    assert_eq!(shop.value(planted), "NULL");
    assert_only_mallory_struck(&shop);
    // What is right is adopted.
    shop.execute(
        "DELETE FROM pgai.vectorizer p WHERE p.id = 2147483647 OR p.id = (SELECT id FROM kept);
         INSERT INTO pgai.vectorizer SELECT * FROM kept",
    );
    assert_eq!(remark(&adopt(&scene), "hers"), "adopted|1|");
}

/// What she put on her queues, her table, and pgai's catalogue, which may be hers: it runs as her.
#[test]
fn what_owners_made_of_their_tables_runs_as_them() {
    let (scene, shop) = with_mallory();
    shop.execute(
        "ALTER TABLE ai.vectorizer OWNER TO mallory; ALTER SEQUENCE ai.vectorizer_id_seq OWNER TO mallory;
         GRANT ALL ON ALL TABLES IN SCHEMA ai TO mallory",
    );
    by_mallory(
        &shop,
        "CREATE TRIGGER trap BEFORE INSERT OR DELETE ON ai._vectorizer_q_6 FOR EACH ROW EXECUTE FUNCTION m.spring('row of the queue');
         CREATE TRIGGER trap_all AFTER INSERT OR DELETE ON ai._vectorizer_q_6
             FOR EACH STATEMENT EXECUTE FUNCTION m.spring('statement on the queue');
         CREATE CONSTRAINT TRIGGER late AFTER INSERT OR DELETE ON ai._vectorizer_q_6 DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION m.spring('deferred');
         ALTER TABLE ai._vectorizer_q_6 ENABLE ROW LEVEL SECURITY;
         CREATE POLICY trap ON ai._vectorizer_q_6 USING (m.strike('policy of the queue'));
         ALTER TABLE ai._vectorizer_q_6 ALTER queued_at SET DEFAULT CASE WHEN m.strike('default') THEN now() END;
         CREATE INDEX ON ai._vectorizer_q_6 (id) WHERE m.strike('index of the queue');
         CREATE STATISTICS m.trap ON (m.strike('statistics')), id FROM ai._vectorizer_q_6;
         CREATE DOMAIN m.number AS int;
         DROP VIEW m.doc_embedding;
         ALTER TABLE m.doc ALTER id TYPE m.number;
         CREATE VIEW m.doc_embedding AS SELECT t.*, s.body FROM m.doc_embedding_store t LEFT JOIN m.doc s USING (id);
         ALTER DOMAIN m.number ADD CHECK (m.strike('domain ' || VALUE));
         CREATE TRIGGER trap AFTER UPDATE ON ai.vectorizer FOR EACH ROW EXECUTE FUNCTION m.spring('catalogue');
         ALTER TABLE ai.vectorizer ENABLE ROW LEVEL SECURITY;
         CREATE POLICY trap ON ai.vectorizer USING (m.strike('policy of the catalogue'));
         CREATE INDEX ON ai.vectorizer (id) WHERE m.strike('index of the catalogue')",
    );
    // A queue that hides rows from its owner, too, would be read in part.
    by_mallory(&shop, "ALTER TABLE ai._vectorizer_q_6 FORCE ROW LEVEL SECURITY");
    let said = remark(&adopt(&scene), "hers");
    assert!(
        said.starts_with("stays with pgai||query would be affected by row-level security"),
        "{said}"
    );
    by_mallory(&shop, "ALTER TABLE ai._vectorizer_q_6 NO FORCE ROW LEVEL SECURITY");
    assert_eq!(remark(&adopt(&scene), "hers"), "adopted|1|");
    assert_only_mallory_struck(&shop);
    by_mallory(&shop, "SELECT ai.disable_vectorizer_schedule('hers')");
    let complaints = go_back(&scene);
    assert!(!complaints.contains("ERROR"), "{complaints}");
    assert_only_mallory_struck(&shop);
    let waiting = "SET ROLE mallory; SELECT id FROM ai._vectorizer_q_6; RESET ROLE";
    assert_eq!(shop.column(waiting), ["1"]);

    // Views in the places of tables.
    by_mallory(
        &shop,
        "ALTER TABLE ai.vectorizer RENAME TO real;
         CREATE VIEW ai.vectorizer AS SELECT * FROM ai.real WHERE m.strike('view of the catalogue');
         ALTER SEQUENCE ai.vectorizer_id_seq RENAME TO real_seq;
         CREATE VIEW ai.vectorizer_id_seq AS SELECT 7 AS last_value WHERE m.strike('view of the sequence');
         ALTER TABLE ai._vectorizer_q_6 RENAME TO real_q;
         CREATE VIEW ai._vectorizer_q_6 AS SELECT * FROM ai.real_q WHERE m.strike('view of the queue')",
    );
    let (_, complaints) = scene.cluster.psql("shop", &Path::new(HERE).join("docs/adopt-pgai.sql"));
    assert_only_mallory_struck(&shop);
    assert!(complaints.contains("pgai.vectorizer is not a table"), "{complaints}");
}
