//! What one role can put in the way of `docs/adopt-pgai.sql`: it stops the vectorizers of that role, and no others.

mod support;

#[path = "support/shop.rs"]
mod shop;

use shop::*;
use support::{Database, Scene};

/// Vectorizers of a superuser that come after mallory's.
fn with_followers() -> (Scene, Database) {
    let (scene, shop) = with_mallory();
    for number in 7..=22 {
        shop.execute(&format!(
            "CREATE TABLE t{number} (id int PRIMARY KEY, body text);
             SELECT ai.create_vectorizer('t{number}', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8))"
        ));
    }
    (scene, shop)
}

/// All but mallory's are adopted, and their tables can be written to.
fn assert_followers_are_adopted(shop: &Database, adopted: &[String]) {
    let of_followers = adopted
        .iter()
        .filter(|row| row.contains("public_t") && row.contains("|adopted|"));
    assert_eq!(of_followers.count(), 16, "{adopted:?}");
    for number in 7..=22 {
        shop.execute(&format!("INSERT INTO t{number} VALUES (1, 'one')"));
    }
}

#[test]
fn code_of_an_owner_has_no_other_skipped() {
    let (scene, shop) = with_followers();
    by_mallory(
        &shop,
        "CREATE FUNCTION m.skip_all() RETURNS void LANGUAGE plpgsql AS $$
         DECLARE
             n text;
         BEGIN
             FOR n IN SELECT '<unnamed portal ' || p || '>' FROM generate_series(1, 200) p UNION SELECT name FROM pg_cursors LOOP
                 BEGIN
                     EXECUTE format('MOVE FORWARD ALL IN %I', n);
                 EXCEPTION WHEN OTHERS THEN NULL;
                 END;
             END LOOP;
         END $$;
         CREATE FUNCTION m.skip() RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM m.skip_all(); RETURN true; END $$;
         CREATE INDEX ON ai._vectorizer_q_6 (id) WHERE m.skip()",
    );
    let adopted = adopt(&scene);
    assert_eq!(adopted.len(), 22, "{adopted:?}");
    assert_followers_are_adopted(&shop, &adopted);
}

/// Errors that PL/pgSQL's OTHERS does not catch.
#[test]
fn errors_of_an_owners_code_stop_no_other() {
    for code in ["query_canceled", "assert_failure", "raise_exception"] {
        let (scene, shop) = with_followers();
        by_mallory(
            &shop,
            &format!(
                "CREATE FUNCTION m.fail() RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$
                 BEGIN
                     IF current_user <> session_user THEN
                         RAISE 'canceling statement due to user request' USING ERRCODE = '{code}';
                     END IF;
                     RETURN true;
                 END $$;
                 CREATE INDEX ON ai._vectorizer_q_6 (id) WHERE m.fail()"
            ),
        );
        let adopted = adopt(&scene);
        assert!(
            remark(&adopted, "hers").starts_with("stays with pgai||canceling"),
            "{adopted:?}"
        );
        assert_followers_are_adopted(&shop, &adopted);
    }
}

/// Indexes and sequences go where their table goes, with the names that their owner has given them.
#[test]
fn no_name_that_an_owner_has_chosen_is_in_the_way() {
    for name in [
        "_vectorizer",
        "_vectorizer_stash",
        "_vectorizer_q_9",
        "_vectorizer_q_6_stash",
    ] {
        let (scene, shop) = with_mallory();
        by_mallory(
            &shop,
            &format!("ALTER INDEX ai._vectorizer_q_6_id_idx RENAME TO {name}"),
        );
        by_mallory(
            &shop,
            "CREATE SEQUENCE ai._vectorizer_run OWNED BY ai._vectorizer_q_6.id;
             ALTER TABLE ai._vectorizer_q_6 ADD CONSTRAINT _vectorizer_q_6_once UNIQUE (id, queued_at);
             UPDATE ai.vectorizer SET trigger_name = 'gone' WHERE name = 'hers'",
        );
        let adopted = adopt(&scene);
        assert!(
            remark(&adopted, "hers").starts_with("stays with pgai"),
            "{name}: {adopted:?}"
        );
        assert_eq!(
            adopted.iter().filter(|row| row.contains("|adopted|")).count(),
            5,
            "{name}: {adopted:?}"
        );
        // Her trigger fills her queue, in which nothing has another's name.
        by_mallory(&shop, "INSERT INTO m.doc VALUES (2, 'two')");
        assert_eq!(
            shop.value("SELECT count(*) FROM ai._vectorizer_q_6 WHERE id = 2"),
            "1",
            "{name}"
        );
        let strangers = "SELECT relname FROM pg_class
                         WHERE relnamespace = 'ai'::regnamespace AND pg_get_userbyid(relowner) = 'mallory'
                           AND relname !~ '^_vectorizer_q_(failed_)?6(_|$)'";
        assert_eq!(shop.column(strangers), [""; 0], "{name}");
        // And back: what she renames meanwhile is in nobody's way either.
        by_mallory(
            &shop,
            "ALTER TABLE ai._vectorizer_q_6 RENAME CONSTRAINT _vectorizer_q_6_once TO vectorizer_pkey",
        );
        let complaints = go_back(&scene);
        assert!(!complaints.contains("ERROR"), "{name}: {complaints}");
        by_mallory(&shop, "INSERT INTO m.doc VALUES (3, 'three')");
    }
}

/// pgai knows no foreign servers: a row that names one was forged between two runs.
#[test]
fn a_foreign_server_of_a_row_has_to_be_looked_at() {
    let (scene, shop) = with_mallory();
    let rows = [
        (5, "public_draft_embedding_store", "embedding", "{}"),
        (
            4,
            "titles",
            "loading",
            "{\"implementation\": \"uri\", \"column_name\": \"title\", \"retries\": 6, \"config_type\": \"loading\"}",
        ),
    ];
    for (id, _, _, _) in rows {
        shop.execute(&format!(
            "CREATE TABLE IF NOT EXISTS kept AS SELECT id, config FROM ai.vectorizer;
             UPDATE ai.vectorizer SET config = jsonb_set(config, '{{destination,target_table}}', '\"nosuch\"') WHERE id = {id}"
        ));
    }
    let adopted = adopt(&scene);
    shop.execute(&format!(
        "CREATE SERVER mgate TYPE 'openai' FOREIGN DATA WRAPPER ai_provider OPTIONS (base_url '{}');
         CREATE SERVER mfiles TYPE 'http' FOREIGN DATA WRAPPER ai_source OPTIONS (allowed_urls 'https://example.com');
         GRANT USAGE ON FOREIGN SERVER mgate, mfiles TO mallory; GRANT SELECT ON kept TO mallory",
        scene.provider.base_url(),
    ));
    for (id, name, section, forged) in rows {
        assert!(remark(&adopted, name).starts_with("stays with pgai"), "{adopted:?}");
        let server = if section == "embedding" { "mgate" } else { "mfiles" };
        by_mallory(
            &shop,
            &format!(
                "UPDATE pgai.vectorizer v SET config = jsonb_set(k.config, '{{{section}}}',
                     k.config -> '{section}' || '{forged}' || '{{\"server\": \"{server}\"}}')
                 FROM kept k WHERE v.id = {id} AND k.id = v.id"
            ),
        );
    }
    let adopted = adopt(&scene);
    for (id, name, section, _) in rows {
        let server = if section == "embedding" { "mgate" } else { "mfiles" };
        let said = remark(&adopted, name);
        let expected = format!("disabled until you have looked at the foreign server {server} for {section}");
        assert!(said.starts_with("adopted|") && said.contains(&expected), "{said}");
        let disabled = format!("SELECT disabled FROM ai.vectorizer WHERE id = {id}");
        assert_eq!(shop.value(&disabled), "t", "{name}");
    }
    let (asked, due) = (
        scene.provider.counts().requests,
        "SELECT count(*) FROM ai._vectorizer_q_5",
    );
    shop.execute("INSERT INTO draft VALUES (77, 'The secret draft of the superuser.')");
    // Another is done, and this one is not.
    shop.execute("INSERT INTO note VALUES (6, 'Of another vectorizer.', 'Title 6')");
    let embedded = "SELECT count(*) FROM note_embedding_store WHERE id = 6";
    shop.wait_for("another document is embedded", embedded, "1");
    let seen = scene
        .provider
        .seen()
        .iter()
        .any(|request| format!("{request:?}").contains("secret draft"));
    assert!(!seen, "{asked} requests before, {} due", shop.value(due));
}
