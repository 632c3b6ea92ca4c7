//! Code of a user that runs while a vector is written into a column of its row: what it changes is news, once.

mod support;

use std::time::Duration;

use support::{DEADLINE, Scene, wait_until};

/// A table of documents with a vector each, made from `template`.
fn start(columns: &str, template: &str) -> Scene {
    let scene = Scene::start();
    scene.cluster.execute(&format!(
        "CREATE EXTENSION IF NOT EXISTS vector; CREATE TABLE doc (id int PRIMARY KEY, body text, vector vector(8){columns});
         SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
             formatting => ai.formatting_python_template('{template}'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_column('vector'))"
    ));
    scene
}

/// All texts that were sent to the provider.
fn paid(scene: &Scene) -> Vec<String> {
    let mut texts: Vec<String> = scene
        .provider
        .seen()
        .into_iter()
        .flat_map(|request| request.texts)
        .collect();
    texts.sort();
    texts
}

/// All is done, nothing has failed, and the vectors are those of the rows.
#[track_caller]
fn assert_in_step(scene: &Scene) {
    scene.cluster.wait_until_settled();
    assert_eq!(scene.cluster.value("SELECT count(*) FROM ai.vectorizer_errors"), "0");
    let findings = scene
        .cluster
        .rows("SELECT primary_key::text, problem FROM ai.verify_vectorizer('doc')");
    assert_eq!(findings, Vec::<Vec<String>>::new());
}

/// Makes a trigger function, and the trigger.
fn create_trigger(scene: &Scene, when: &str, body: &str) {
    scene.cluster.execute(&format!(
        "CREATE FUNCTION code() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$BEGIN {body} END$$;
         CREATE TRIGGER code {when} ON doc FOR EACH ROW EXECUTE FUNCTION code()"
    ));
}

#[test]
fn a_change_of_another_row_is_embedded() {
    for partitions in ["", "partitioned"] {
        let scene = start(", parent int", "$chunk");
        if !partitions.is_empty() {
            scene.cluster.execute(
                "SELECT ai.drop_vectorizer('doc'); DROP TABLE doc;
                 CREATE TABLE doc (id int PRIMARY KEY, body text, vector vector(8), parent int) PARTITION BY RANGE (id);
                 CREATE TABLE doc_1 PARTITION OF doc FOR VALUES FROM (0) TO (2); CREATE TABLE doc_2 PARTITION OF doc DEFAULT;
                 SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
                     embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_column('vector'))",
            );
        }
        create_trigger(
            &scene,
            "AFTER UPDATE",
            "IF NEW.parent IS NOT NULL THEN
                 UPDATE doc SET body = 'changed with ' || NEW.id WHERE id = NEW.parent;
             END IF; RETURN NULL;",
        );
        scene
            .cluster
            .execute("INSERT INTO doc VALUES (1, 'parent', NULL, NULL)");
        scene
            .cluster
            .wait_for("it is stored", "SELECT count(vector) FROM doc", "1");
        scene.cluster.execute("INSERT INTO doc VALUES (2, 'child', NULL, 1)");
        scene.cluster.wait_for(
            "the parent has changed",
            "SELECT body FROM doc WHERE id = 1",
            "changed with 2",
        );
        assert_in_step(&scene);
        assert_eq!(paid(&scene), ["changed with 2", "child", "parent"], "{partitions}");
    }
}

#[test]
fn a_change_of_the_row_itself_is_embedded_once_more() {
    for (when, body) in [
        ("BEFORE UPDATE", "NEW.body := upper(NEW.body); RETURN NEW;"),
        (
            "AFTER UPDATE",
            "UPDATE doc SET body = upper(body) WHERE id = NEW.id AND body <> upper(body); RETURN NULL;",
        ),
    ] {
        let scene = start("", "$chunk");
        create_trigger(&scene, when, body);
        scene
            .cluster
            .execute("INSERT INTO doc VALUES (1, 'one'), (2, 'two'), (3, 'THREE')");
        scene.cluster.wait_for(
            "they have changed",
            "SELECT count(*) FROM doc WHERE body = upper(body) AND vector IS NOT NULL",
            "3",
        );
        assert_in_step(&scene);
        assert_eq!(paid(&scene), ["ONE", "THREE", "TWO", "one", "two"], "{when}");
    }
}

/// Neither for what is not embedded, nor where there is nothing to embed.
#[test]
fn a_change_of_what_is_not_embedded_costs_nothing() {
    let scene = start(", updated_at timestamptz", "$chunk");
    create_trigger(
        &scene,
        "BEFORE UPDATE",
        "NEW.updated_at := clock_timestamp(); RETURN NEW;",
    );
    scene
        .cluster
        .execute("INSERT INTO doc VALUES (1, 'one'), (2, ''), (3, NULL)");
    scene
        .cluster
        .wait_for("it is stored", "SELECT count(vector) FROM doc", "1");
    assert_in_step(&scene);
    let written = || {
        scene
            .cluster
            .value("SELECT string_agg(xmin::text, ' ' ORDER BY id) FROM doc")
    };
    let before = written();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(written(), before);
    assert_eq!(paid(&scene), ["one"]);
}

/// What changes each time is an error that says so, and is not paid for without an end; other documents are
/// none the worse.
#[test]
fn a_row_that_changes_with_each_vector_is_an_error() {
    for (when, body) in [
        ("BEFORE UPDATE", "NEW.version := nextval('versions'); RETURN NEW;"),
        (
            "AFTER UPDATE",
            "IF pg_trigger_depth() = 1 THEN UPDATE doc SET version = nextval('versions') WHERE id = NEW.id; END IF; RETURN NULL;",
        ),
    ] {
        let scene = start(", version int DEFAULT 0", "$version $chunk");
        scene.cluster.execute("CREATE SEQUENCE versions");
        create_trigger(
            &scene,
            &format!("{when} OF vector"),
            &format!("IF NEW.id > 2 THEN RETURN NEW; END IF; {body}"),
        );
        scene
            .cluster
            .execute("INSERT INTO doc VALUES (1, 'one'), (2, 'two'), (3, 'three')");
        let failed = || scene.cluster.column("SELECT id::text FROM ai._vectorizer_q_failed_1");
        wait_until("they are given up", DEADLINE, failed, |seen| seen.len() == 2);
        let told =
            "SELECT string_agg(concat_ws(' ', primary_key ->> 'id', step, failure_class, details ->> 'error_reason',
                        details ->> 'hint'), E'\\n' ORDER BY primary_key) FROM ai.vectorizer_errors";
        let told = scene.cluster.value(told);
        assert_eq!(told.lines().count(), 2, "{told}");
        for line in told.lines() {
            assert!(
                line.contains("whenever its vector is written") && line.contains("unknown"),
                "{line}"
            );
            assert!(line.contains("trigger code"), "{line}");
        }
        scene.cluster.wait_until_settled();
        assert_eq!(scene.cluster.value("SELECT count(vector) FROM doc WHERE id = 3"), "1");
        let first = paid(&scene).len();
        assert_eq!(first, 5, "{:?}", paid(&scene));
        // A change by the user is paid for once.
        scene.cluster.execute("UPDATE doc SET body = 'uno' WHERE id = 1");
        wait_until("it is given up again", DEADLINE, failed, |seen| seen.len() == 2);
        scene.cluster.wait_until_settled();
        assert_eq!(paid(&scene).len(), first + 1, "{:?}", paid(&scene));
        // Without the trigger it is mended, from what was paid for.
        scene
            .cluster
            .execute("DROP TRIGGER code ON doc; SELECT ai.retry_vectorizer('doc')");
        scene
            .cluster
            .wait_for("they are mended", "SELECT count(*) FROM ai.vectorizer_errors", "0");
        assert_in_step(&scene);
        assert_eq!(paid(&scene).len(), first + 1, "{:?}", paid(&scene));
    }
}

/// A row that others change, batch after batch, is not at fault itself.
#[test]
fn a_row_that_many_others_change_is_no_error() {
    let scene = start(", parent int", "$chunk");
    create_trigger(
        &scene,
        "AFTER UPDATE",
        "IF NEW.parent IS NOT NULL THEN
             UPDATE doc SET body = 'changed at ' || clock_timestamp() WHERE id = NEW.parent;
         END IF; RETURN NULL;",
    );
    scene.cluster.execute(
        "INSERT INTO doc SELECT i, 'row ' || i, NULL, CASE WHEN i > 1 THEN 1 END FROM generate_series(1, 1000) i",
    );
    scene
        .cluster
        .wait_for("all are stored", "SELECT count(vector) FROM doc", "1000");
    assert_in_step(&scene);
    assert_eq!(
        paid(&scene).iter().filter(|text| text.starts_with("row ")).count(),
        1000
    );
}

/// The changes of one vectorizer's writes are news to the other, and the other way round: that ends, too, and is named.
#[test]
fn two_vectors_of_a_row_that_changes_with_each_of_them_are_errors() {
    for partitions in [false, true] {
        let scene = start(", other vector(8), version int DEFAULT 0", "$version $chunk");
        if partitions {
            scene.cluster.execute(
                "SELECT ai.drop_vectorizer('doc'); DROP TABLE doc;
                 CREATE TABLE doc (id int PRIMARY KEY, body text, vector vector(8), other vector(8), version int DEFAULT 0)
                     PARTITION BY RANGE (id);
                 CREATE TABLE doc_1 PARTITION OF doc FOR VALUES FROM (0) TO (2); CREATE TABLE doc_2 PARTITION OF doc DEFAULT;
                 SELECT ai.create_vectorizer('doc', name => 'doc', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
                     formatting => ai.formatting_python_template('$version $chunk'),
                     embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_column('vector'))",
            );
        }
        scene.cluster.execute(
            "CREATE SEQUENCE versions;
             SELECT ai.create_vectorizer('doc', name => 'other', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
                 formatting => ai.formatting_python_template('$version $chunk'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_column('other'))",
        );
        create_trigger(
            &scene,
            "BEFORE UPDATE",
            "NEW.version := nextval('versions'); RETURN NEW;",
        );
        scene.cluster.execute("INSERT INTO doc VALUES (1, 'one'), (2, 'two')");
        let given_up = "SELECT string_agg(concat_ws(' ', name, primary_key ->> 'id'), ', ' ORDER BY name, primary_key)
                        FROM ai.vectorizer_errors WHERE details ->> 'error_reason' LIKE '%whenever its vector is written%'";
        scene
            .cluster
            .wait_for("all are named", given_up, "doc 1, doc 2, other 1, other 2");
        scene.cluster.wait_until_settled();
        assert_eq!(scene.cluster.value(given_up), "doc 1, doc 2, other 1, other 2");
        assert!(paid(&scene).len() <= 16, "{:?}", paid(&scene));
        let before = scene.cluster.value("SELECT last_value FROM versions");
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(scene.cluster.value("SELECT last_value FROM versions"), before);
    }
}
