//! How chunks lie on the pages of their table.

mod support;

use support::{Database, Scene};

fn create(database: &Database, table: &str, key: &str, dimensions: u32) {
    database.execute(&format!(
        "CREATE TABLE {table} ({key}, body text);
         SELECT ai.create_vectorizer('{table}', name => '{table}', loading => ai.loading_column('body'),
             chunking => ai.chunking_none(), embedding => ai.embedding_openai('text-embedding-3-large', {dimensions}))"
    ));
}

/// How many values of the chunks of a table lie out of line.
fn out_of_line(database: &Database, table: &str) -> String {
    let toast = database.value(&format!(
        "SELECT reltoastrelid::regclass FROM pg_class WHERE oid = '{table}_embedding_store'::regclass"
    ));
    database.value(&format!("SELECT count(DISTINCT chunk_id) FROM {toast}"))
}

#[test]
fn a_chunk_lies_beside_its_vector() {
    let scene = Scene::start();
    let database = &scene.cluster;
    for (table, dimensions) in [("narrow", 384), ("usual", 768), ("wide", 1_536), ("widest", 1_990)] {
        create(database, table, "id int PRIMARY KEY", dimensions);
        // Texts that do not get shorter: 16 × 32 hexadecimal digits, other ones in each.
        let room = if dimensions < 1_990 { 16 } else { 1 };
        database.execute(&format!(
            "INSERT INTO {table} SELECT n, (SELECT string_agg(md5(n || ' ' || part), '') FROM generate_series(1, {room}) part)
             FROM generate_series(1, 20) n"
        ));
    }
    database.wait_until_settled();
    for table in ["narrow", "usual", "wide", "widest"] {
        let stored = format!("SELECT count(*) FROM {table}_embedding_store");
        assert_eq!(database.value(&stored), "20", "{table}");
        // A text of 32 bytes is kept in the row of the widest.
        assert_eq!(out_of_line(database, table), "0", "{table}");
    }
}

#[test]
fn a_vector_that_fits_on_no_page_leaves_its_row_as_it_is() {
    let scene = Scene::start();
    let database = &scene.cluster;
    create(database, "doc", "id int PRIMARY KEY", 3_072);
    database.execute(
        "INSERT INTO doc SELECT n, (SELECT string_agg(md5(n || ' ' || part), '') FROM generate_series(1, 50) part)
         FROM generate_series(1, 20) n",
    );
    database.wait_until_settled();
    assert_eq!(database.value("SELECT count(*) FROM doc_embedding_store"), "20");
    // The vectors, and none of the texts.
    assert_eq!(out_of_line(database, "doc"), "20");
    let compressed = "SELECT count(*) FROM doc_embedding_store WHERE pg_column_compression(embedding) IS NOT NULL";
    assert_eq!(database.value(compressed), "0");
}

#[test]
fn rows_with_long_texts_and_wide_keys_fit() {
    let scene = Scene::start();
    let database = &scene.cluster;
    let names: Vec<String> = (1..=8).map(|n| format!("n{n} name")).collect();
    let wide = format!("{}, PRIMARY KEY (n1, n2, n3, n4, n5, n6, n7, n8)", names.join(", "));
    let body = "(SELECT string_agg(md5(part::text), '') FROM generate_series(1, 200) part)";
    let long = "(SELECT string_agg(md5(part::text), '') FROM generate_series(1, 60) part)";
    for dimensions in [1_536, 1_900, 1_990, 2_000, 2_040] {
        let (by_text, by_names) = (format!("text_{dimensions}"), format!("names_{dimensions}"));
        create(database, &by_text, "id text PRIMARY KEY", dimensions);
        create(database, &by_names, &wide, dimensions);
        database.execute(&format!(
            "INSERT INTO {by_text} SELECT {long}, {body};
             INSERT INTO {by_names} SELECT 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', {body}"
        ));
    }
    database.wait_until_settled();
    assert_eq!(
        database.column("SELECT reason FROM ai.worker_status WHERE reason IS NOT NULL"),
        Vec::<String>::new()
    );
    for dimensions in [1_536, 1_900, 1_990, 2_000, 2_040] {
        for table in [format!("text_{dimensions}"), format!("names_{dimensions}")] {
            let stored = database.value(&format!("SELECT sum(length(chunk)) FROM {table}_embedding_store"));
            assert_eq!(stored, "6400", "{table}");
        }
    }
}
