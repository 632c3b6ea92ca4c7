//! The same SQL, said to pgai 0.12.1 and to this extension: signatures, the JSON of the builders, columns, and the errors of
//! calls that make no sense. What differs on purpose is listed with its reason.

mod support;

use std::collections::BTreeMap;

use support::{Cluster, Database, Options};

/// Databases of a cluster: one that pgai's installer made, and one with this extension.
fn databases() -> (Cluster, Database, Database) {
    let cluster = Cluster::start(Options::default());
    cluster.execute("CREATE DATABASE theirs");
    cluster.execute("CREATE DATABASE ours");
    let (theirs, ours) = (cluster.database("theirs"), cluster.database("ours"));
    theirs.execute("CREATE EXTENSION vector");
    let path = std::env::var("PGAI_SQL").expect("PGAI_SQL names the SQL of pgai: make check ONLY=integration sets it");
    let sql = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let sql = sql
        .replace("@extschema:vector@", "public")
        .replace("__version__", "0.12.1");
    theirs.execute(&format!("BEGIN; {sql}; COMMIT"));
    theirs.execute("RESET search_path");
    ours.execute("CREATE EXTENSION ai CASCADE");
    (cluster, theirs, ours)
}

/// Functions that users call, by name and arguments, with what they return.
fn functions(database: &Database) -> BTreeMap<String, Vec<(String, String)>> {
    let mut functions: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let sql = "SELECT p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)
               FROM pg_proc p WHERE p.pronamespace = 'ai'::regnamespace AND p.proname !~ '^_' ORDER BY 1, 2";
    for row in database.rows(sql) {
        let signature = (row[1].clone(), row[2].clone());
        functions.entry(row[0].clone()).or_default().push(signature);
    }
    functions
}

#[test]
fn every_function_of_pgai_is_there_with_its_parameters() {
    let (_cluster, theirs, ours) = databases();
    let (theirs, ours) = (functions(&theirs), functions(&ours));
    assert!(theirs.len() > 40, "{:?}", theirs.keys());
    let has = |name: &str, arguments: &str, result: &str| {
        let overloads = ours.get(name).map(Vec::as_slice).unwrap_or_default();
        // Further parameters come behind.
        overloads.iter().any(|(known, returned)| {
            let behind = known.strip_prefix(arguments);
            result == returned
                && behind.is_some_and(|rest| rest.is_empty() || arguments.is_empty() || rest.starts_with(", "))
        })
    };
    // Text to SQL, which has nothing to do with vectorizers.
    let semantic_catalogue = |name: &str| name.starts_with("sc_") || name.contains("semantic_catalog");
    let lacking: Vec<String> = theirs
        .iter()
        .filter(|(name, _)| !semantic_catalogue(name))
        .flat_map(|(name, overloads)| {
            overloads
                .iter()
                .map(move |(arguments, result)| (name, arguments, result))
        })
        .filter(|(name, arguments, result)| !has(name, arguments, result))
        .map(|(name, arguments, result)| format!("{name}({arguments}) {result}"))
        .collect();
    assert_eq!(lacking, Vec::<String>::new());
}

#[test]
fn builders_build_the_same() {
    let (_cluster, theirs, ours) = databases();
    for call in [
        "loading_column('body')",
        "loading_column('body', 0)",
        "loading_uri('uri')",
        "loading_uri('uri', 3, 'arn:aws:iam::1:role/r')",
        "parsing_auto()",
        "parsing_none()",
        "parsing_pymupdf()",
        "parsing_docling()",
        "chunking_character_text_splitter()",
        "chunking_character_text_splitter(128, 10, E'\\n', true)",
        "chunking_recursive_character_text_splitter()",
        "chunking_recursive_character_text_splitter(10, 2, ARRAY['a', 'b'], true)",
        "chunking_none()",
        "embedding_openai('m', 3)",
        "embedding_openai('m', 3, 'user', 'KEY', 'https://host/v1')",
        "embedding_openai('m', 3, api_key_name => NULL)",
        "embedding_ollama('m', 3)",
        "embedding_ollama('m', 3, 'http://host', '{\"num_ctx\": 9}', '5m')",
        "embedding_voyageai('m', 3)",
        "embedding_voyageai('m', 3, NULL, 'KEY')",
        "embedding_litellm('cohere/m', 3)",
        "embedding_litellm('cohere/m', 3, 'KEY', '{\"a\": 1}')",
        "embedding_sentence_transformers()",
        "formatting_python_template()",
        "formatting_python_template('$title: $chunk')",
        "indexing_none()",
        "indexing_default()",
        "indexing_diskann()",
        "indexing_diskann(1, 'plain', 2, 3, 1.5, 4, 5, false)",
        "indexing_hnsw()",
        "indexing_hnsw(1, 'vector_ip_ops', 8, 32, false)",
        "scheduling_none()",
        "scheduling_default()",
        "scheduling_timescaledb()",
        "scheduling_timescaledb('1h', '2025-01-02 03:04:05+00', true, 'Europe/Berlin')",
        "processing_default()",
        "processing_default(7, 3)",
        "destination_table()",
        "destination_table('d')",
        "destination_table('d', 'ts', 'tt', 'vs', 'vn')",
        "destination_column('vec')",
        "grant_to()",
        "grant_to('a', 'b')",
    ] {
        let sql = format!("SELECT ai.{call}");
        assert_eq!(ours.value(&sql), theirs.value(&sql), "{call}");
    }
}

#[test]
fn catalogue_and_views_begin_with_the_columns_of_pgai() {
    let (_cluster, theirs, ours) = databases();
    for relation in ["ai.vectorizer", "ai.vectorizer_status", "ai.vectorizer_errors"] {
        let sql = format!(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
             WHERE attrelid = '{relation}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        );
        let (theirs, ours) = (theirs.rows(&sql), ours.rows(&sql));
        assert_eq!(ours[..theirs.len()], theirs, "{relation}");
    }
}

/// The message of a call that is refused; the SQLSTATE too, where pgai chose one.
fn refusal(database: &Database, sql: &str) -> (String, String) {
    match database.try_rows(&format!("BEGIN; {sql}; ROLLBACK")) {
        Ok(_) => (String::new(), "no error".to_owned()),
        Err(error) => {
            let said = error.as_db_error().unwrap_or_else(|| panic!("{sql}\n{error}"));
            (said.code().code().to_owned(), said.message().to_owned())
        }
    }
}

#[test]
fn calls_that_make_no_sense_are_refused_in_the_same_words() {
    let (_cluster, theirs, ours) = databases();
    for database in [&theirs, &ours] {
        database.execute(
            "CREATE TABLE doc (id int PRIMARY KEY, body text, bytes bytea, number int, uri text);
             CREATE TABLE keyless (body text);
             CREATE TABLE with_chunk (id int PRIMARY KEY, body text, chunk text);
             CREATE VIEW seen AS SELECT * FROM doc;
             CREATE TABLE taken ();
             CREATE TABLE made (id int PRIMARY KEY, body text)",
        );
        database.execute(
            "SELECT ai.create_vectorizer('made', name => 'made', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('m', 3), chunking => ai.chunking_none(),
                 scheduling => ai.scheduling_none(), indexing => ai.indexing_none())",
        );
    }
    let good = [
        ("loading", "ai.loading_column('body')"),
        ("embedding", "ai.embedding_openai('m', 3)"),
        ("scheduling", "ai.scheduling_none()"),
    ];
    let call = |source: &str, changed: &[(&str, &str)]| {
        let kept = good
            .iter()
            .filter(|(name, _)| changed.iter().all(|(other, _)| other != name));
        let arguments: Vec<String> = kept
            .chain(changed)
            .map(|(name, value)| format!("{name} => {value}"))
            .collect();
        format!("SELECT ai.create_vectorizer('{source}', {})", arguments.join(", "))
    };
    let mut calls = vec![
        call("keyless", &[]),
        call("seen", &[]),
        call("with_chunk", &[]),
        call("doc", &[("embedding", "'{}'")]),
        call("doc", &[("queue_schema", "'public'"), ("queue_table", "'taken'")]),
        call("doc", &[("destination", "ai.destination_table(view_name => 'taken')")]),
        call(
            "doc",
            &[("destination", "ai.destination_table(target_table => 'taken')")],
        ),
        call("doc", &[("name", "'made'")]),
        call("doc", &[("name", "'Made'")]),
        call("doc", &[("name", "'1st'")]),
        call("doc", &[("destination", "ai.destination_column('vec')")]),
        call("doc", &[("indexing", "ai.indexing_hnsw()")]),
        call(
            "doc",
            &[
                ("loading", "ai.loading_column('bytes')"),
                ("parsing", "ai.parsing_none()"),
            ],
        ),
        call("doc", &[("parsing", "ai.parsing_pymupdf()")]),
        call("doc", &[("parsing", "ai.parsing_docling()")]),
        call("doc", &[("loading", "ai.loading_uri('bytes')")]),
        "SELECT ai.embedding_voyageai('m', 3, 'question')".to_owned(),
    ];
    // Each section: no object, of another kind, without or with an unknown implementation, and what is its own.
    let sections: [(&str, &[&str]); 9] = [
        ("destination", &[]),
        (
            "loading",
            &[
                "ai.loading_column('nowhere')",
                "ai.loading_column('number')",
                "ai.loading_column('body', -1)",
                "ai.loading_column('body', NULL)",
                "ai.loading_column(NULL)",
                "ai.loading_uri('uri', aws_role_arn => 'admin')",
            ],
        ),
        ("parsing", &[]),
        (
            "embedding",
            &[
                "ai.embedding_sentence_transformers()",
                "'{\"config_type\": \"embedding\", \"dimensions\": 3}'",
            ],
        ),
        ("chunking", &[]),
        (
            "indexing",
            &[
                "ai.indexing_hnsw(opclass => 'bit_ops')",
                "ai.indexing_diskann(storage_layout => 'round')",
            ],
        ),
        ("formatting", &["ai.formatting_python_template('no chunk')"]),
        ("scheduling", &[]),
        (
            "processing",
            &[
                "ai.processing_default(0)",
                "ai.processing_default(2049)",
                "ai.processing_default(concurrency => 0)",
                "ai.processing_default(concurrency => 51)",
                "'{\"config_type\": \"processing\", \"implementation\": \"default\", \"batch_size\": \"all\"}'",
                "'{\"config_type\": \"processing\", \"implementation\": \"default\", \"concurrency\": \"all\"}'",
            ],
        ),
    ];
    for (section, own) in sections {
        let dimensions = if section == "embedding" {
            ", \"dimensions\": 3"
        } else {
            ""
        };
        for value in [
            "NULL".to_owned(),
            "'[]'".to_owned(),
            format!("'{{\"config_type\": \"other\"{dimensions}}}'"),
            format!(
                "'{{\"config_type\": \"{section}\", \"implementation\": \"other\", \"column_name\": \"body\"{dimensions}}}'"
            ),
        ] {
            calls.push(call("doc", &[(section, &value)]));
        }
        calls.extend(own.iter().map(|value| call("doc", &[(section, value)])));
    }
    for section in [
        "loading",
        "embedding",
        "indexing",
        "scheduling",
        "processing",
        "chunking",
    ] {
        let dimensions = if section == "embedding" {
            ", \"dimensions\": 3"
        } else {
            ""
        };
        calls.push(call(
            "doc",
            &[(section, &format!("'{{\"config_type\": \"{section}\"{dimensions}}}'"))],
        ));
    }
    let differences: Vec<String> = calls
        .iter()
        .filter_map(|sql| {
            let ((their_code, theirs), (our_code, ours)) = (refusal(&theirs, sql), refusal(&ours, sql));
            assert_ne!(ours, "no error", "{sql}\n    pgai: {theirs}");
            let same = theirs == ours && (their_code == our_code || their_code == "P0001");
            (!same).then(|| format!("{sql}\n    pgai: {their_code} {theirs}\n    here: {our_code} {ours}"))
        })
        .collect();
    assert!(
        differences.is_empty(),
        "{} of {}:\n{}",
        differences.len(),
        calls.len(),
        differences.join("\n")
    );
}
