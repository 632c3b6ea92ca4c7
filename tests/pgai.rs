//! The same SQL, said to pgai 0.12.1 and to this extension: signatures, the JSON of the builders, columns,
//! and the errors of calls that make no sense. What differs on purpose is listed with its reason.

mod support;

use litemap::LiteMap;
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
fn functions(database: &Database) -> LiteMap<String, Vec<(String, String)>> {
    let mut functions: LiteMap<String, Vec<(String, String)>> = LiteMap::new();
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
    // What is not given stays as it is: with pgai's defaults another index would set the schedule back.
    let on_purpose = "set_scheduling(vectorizer_id integer, scheduling jsonb DEFAULT ai.scheduling_default(), indexing jsonb DEFAULT \
                      ai.indexing_default()) jsonb";
    assert_eq!(lacking, [on_purpose]);
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

/// The texts of pgai that no call here leads to.
const NOT_HERE: [&str; 12] = [
    // Its installer.
    "only the owner of the ai.pgai_lib_migration table can run database migrations",
    "the pgai library has already been installed/upgraded",
    // What it says of a row of its catalogue that somebody wrote by hand, and of a schedule without TimescaleDB.
    "unrecognized index implementation: %s",
    "ai extension not found but it is needed for timescaledb scheduling.",
    "timescaledb extension not found",
    "scheduling implementation not recognized",
    "config is null",
    "invalid implementation for destination",
    // Said of an unknown id, which is an error of its own here.
    "vectorizer has no queue table",
    // All four are supported.
    "unsupported embedding implementation",
    // What is no object has no dimensions, which is said first.
    "embedding config is not a jsonb object",
    // Text to SQL.
    "user must have access to the catalog first",
];

/// The texts of pgai's `raise exception`, with a `%` for each value, and what it raises them with.
fn texts_of_pgai() -> Vec<String> {
    let path = std::env::var("PGAI_SQL").expect("PGAI_SQL names the SQL of pgai");
    let sql = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let raised = sql.split("raise exception '").skip(1);
    // A text goes on in the next line, as adjacent strings do.
    let texts = raised.map(|after| {
        let (mut text, mut rest) = after.split_once('\'').expect("a text ends");
        let mut whole = text.to_owned();
        while let Some(more) = rest.trim_start().strip_prefix('\'') {
            (text, rest) = more.split_once('\'').expect("a text ends");
            whole += text;
        }
        whole
    });
    texts.collect()
}

/// Whether a message is this text, with something for each `%`, or `…`.
fn is_text(message: &str, text: &str) -> bool {
    let parts: Vec<&str> = text.split(['%', '…']).collect();
    let Some(mut rest) = message.strip_prefix(parts[0]) else {
        return false;
    };
    for (index, part) in parts.iter().enumerate().skip(1) {
        let is_last = index == parts.len() - 1;
        let found = if is_last {
            rest.ends_with(part).then(|| rest.len() - part.len())
        } else {
            rest.find(part)
        };
        let Some(at) = found else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

/// The message of a call that is refused, and its SQLSTATE.
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
        format!(
            "CREATE ROLE plain; GRANT USAGE ON SCHEMA ai TO plain; SET ROLE plain; {}",
            call("doc", &[])
        ),
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
    let mut said = Vec::new();
    let differences: Vec<String> = calls
        .iter()
        .filter_map(|sql| {
            let ((their_code, theirs), (our_code, ours)) = (refusal(&theirs, sql), refusal(&ours, sql));
            assert_ne!(ours, "no error", "{sql}\n    pgai: {theirs}");
            let same = theirs == ours && their_code == our_code;
            said.push(theirs.clone());
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
    // That is all that pgai raises.
    let texts = texts_of_pgai();
    assert!(texts.len() > 50, "{texts:?}");
    let untried = texts.iter().filter(|text| !NOT_HERE.contains(&text.as_str()));
    let untried: Vec<&String> = untried
        .filter(|text| !said.iter().any(|said| is_text(said, text)))
        .collect();
    assert!(untried.is_empty(), "{untried:#?}");
}

/// The checks that pgai does not have, as docs/coming-from-pgai.md lists them: SQLSTATE and text.
fn checks_of_ours() -> Vec<(String, String)> {
    let docs = include_str!("../docs/coming-from-pgai.md");
    let (_, list) = docs
        .split_once("**Checks that pgai does not have**")
        .expect("the list has a heading");
    let (list, _) = list.split_once("\n## ").expect("another chapter follows");
    let rows = list.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.strip_suffix("` |")?.split("` | `");
        Some((cells.next()?.to_owned(), cells.next()?.to_owned()))
    });
    rows.collect()
}

#[test]
fn checks_that_pgai_lacks_have_the_codes_that_are_listed() {
    let (_cluster, theirs, ours) = databases();
    for database in [&theirs, &ours] {
        database.execute(
            "CREATE TABLE doc (id int PRIMARY KEY, body text, uri text, number int);
             CREATE TABLE clash (id int PRIMARY KEY, body text, chunk_seq int);
             CREATE TABLE parent (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
             CREATE TABLE part PARTITION OF parent DEFAULT;
             CREATE TABLE grown (id int PRIMARY KEY, body text); CREATE TABLE child () INHERITS (grown)",
        );
    }
    let create = |source: &str, arguments: &str| {
        let given = |name: &str| arguments.contains(&format!("{name} => "));
        let defaults = [
            ("loading", "ai.loading_column('body')"),
            ("embedding", "ai.embedding_openai('m', 3)"),
        ];
        let rest: String = defaults
            .iter()
            .filter(|(name, _)| !given(name))
            .map(|(name, value)| format!(", {name} => {value}"))
            .collect();
        let comma = if arguments.is_empty() { "" } else { ", " };
        format!("SELECT ai.create_vectorizer({source}{comma}{arguments}{rest})")
    };
    let doc = |arguments: &str| create("'doc'", arguments);
    let json = |section: &str, keys: &str| format!("{section} => '{{\"config_type\": \"{section}\", {keys}}}'");
    let calls = [
        create("NULL::regclass", ""),
        create("'part'", ""),
        create("'grown'", ""),
        "CREATE TEMP TABLE t (id int PRIMARY KEY, body text); ".to_owned() + &create("'t'", ""),
        create("'clash'", ""),
        create(
            "'doc'",
            &format!(
                "chunking => ai.chunking_none(), {}",
                json("destination", "\"implementation\": \"column\"")
            ),
        ),
        doc("loading => ai.loading_column('body') || '{\"server\": \"ai_s3\"}'"),
        doc(&json("embedding", "\"implementation\": \"openai\", \"dimensions\": 3")),
        doc("embedding => ai.embedding_litellm('bedrock/m', 3)"),
        doc("embedding => ai.embedding_openai('m', 0)"),
        doc("chunking => ai.chunking_character_text_splitter(0)"),
        doc("chunking => ai.chunking_character_text_splitter(10, 10)"),
        doc("chunking => ai.chunking_character_text_splitter(10, 1, '(', true)"),
        doc(&json(
            "chunking",
            "\"implementation\": \"character_text_splitter\", \"chunk_size\": \"x\"",
        )),
        doc("formatting => ai.formatting_python_template('$chunk $')"),
        doc("formatting => ai.formatting_python_template('$chunk $nowhere')"),
        doc("indexing => ai.indexing_hnsw() || '{\"min_rows\": \"many\"}'"),
        doc("indexing => ai.indexing_hnsw() || '{\"create_when_queue_empty\": 1}'"),
        doc("indexing => ai.indexing_hnsw(m => 1)"),
        doc("indexing => ai.indexing_hnsw() || '{\"m\": \"x\"}'"),
        doc("indexing => ai.indexing_hnsw(m => 50, ef_construction => 60)"),
        doc("indexing => ai.indexing_hnsw(), embedding => ai.embedding_openai('m', 3000)"),
        doc("indexing => ai.indexing_diskann() || '{\"max_alpha\": \"x\"}'"),
        doc("indexing => ai.indexing_diskann()"),
        "SET ai.indexing_default = 'indexing_btree'; ".to_owned() + &doc(""),
        "SET ai.scheduling_default = 'scheduling_cron'; ".to_owned() + &doc(""),
        doc("scheduling => ai.scheduling_timescaledb(timezone => 'Moon')"),
        doc("scheduling => ai.scheduling_timescaledb('0')"),
        doc(&json("scheduling", "\"implementation\": \"timescaledb\"")),
        create(
            "'parent'",
            "destination => ai.destination_column('vec'), chunking => ai.chunking_none(), indexing => ai.indexing_hnsw()",
        ),
        create(
            "'doc'",
            "destination => ai.destination_column('number'), chunking => ai.chunking_none(), indexing => ai.indexing_none()",
        ),
        create(
            "'doc'",
            "name => 'one', destination => ai.destination_column('vec'), chunking => ai.chunking_none()",
        ) + "; "
            + &create(
                "'doc'",
                "name => 'two', destination => ai.destination_column('vec'), chunking => ai.chunking_none()",
            ),
        "SELECT ai.drop_vectorizer(99)".to_owned(),
        "SELECT ai.drop_vectorizer('nothing')".to_owned(),
        "SELECT ai.execute_vectorizer('nothing')".to_owned(),
        "SELECT ai.disable_vectorizer_schedule('nothing')".to_owned(),
        "SELECT ai.vectorizer_queue_pending(99)".to_owned(),
        "SELECT ai.set_scheduling(99, ai.scheduling_none())".to_owned(),
        "CREATE ROLE plain; GRANT CREATE ON SCHEMA public TO plain; SET ROLE plain;
         CREATE TABLE own (id int PRIMARY KEY, body text); "
            .to_owned()
            + &create("'own'", ""),
        "CREATE ROLE plain; GRANT CREATE ON SCHEMA public TO plain; SET ROLE plain;
         CREATE TABLE own (id int PRIMARY KEY, body text); "
            .to_owned()
            + &create(
                "'own'",
                "embedding => ai.embedding_openai('m', 3, base_url => 'https://host')",
            ),
        "UPDATE ai.vectorizer SET disabled = true".to_owned(),
    ];
    let list = checks_of_ours();
    let (mut unlisted, mut met) = (Vec::new(), vec![false; list.len()]);
    for sql in &calls {
        let (code, message) = refusal(&ours, sql);
        let known = list
            .iter()
            .position(|(listed, text)| *listed == code && is_text(&message, text));
        match known {
            Some(number) => met[number] = true,
            None => unlisted.push(format!("| `{code}` | `{message}` |   {sql}")),
        }
        // Where pgai has the words, it is no check of ours.
        let (_, said) = refusal(&theirs, sql);
        if said == message {
            unlisted.push(format!("pgai has: {message}   {sql}"));
        }
    }
    assert!(unlisted.is_empty(), "not listed:\n{}", unlisted.join("\n"));
    let stale: Vec<_> = list.iter().zip(met).filter(|(_, met)| !met).collect();
    assert!(stale.is_empty(), "listed and not met: {stale:#?}");
}

/// The query of docs/coming-from-pgai.md for vectorizers whose documents may be cut otherwise than by pgai's parsers.
#[test]
fn the_page_names_the_vectorizers_whose_documents_are_parsed() {
    let (_cluster, _theirs, ours) = databases();
    ours.execute(
        "CREATE SCHEMA \"My docs\";
         CREATE TABLE \"My docs\".\"Doc\" (id int PRIMARY KEY, body text, bytes bytea, uri text)",
    );
    for (name, loading, parsing) in [
        ("uri", "ai.loading_uri('uri')", "ai.parsing_auto()"),
        ("pymupdf", "ai.loading_uri('uri')", "ai.parsing_pymupdf()"),
        ("bytes", "ai.loading_column('bytes')", "ai.parsing_docling()"),
        ("plain", "ai.loading_uri('uri')", "ai.parsing_none()"),
        ("words", "ai.loading_column('body')", "ai.parsing_auto()"),
    ] {
        ours.execute(&format!(
            "SELECT ai.create_vectorizer('\"My docs\".\"Doc\"', name => '{name}', loading => {loading}, parsing => {parsing},
                 embedding => ai.embedding_openai('m', 3), destination => ai.destination_table('{name}'))"
        ));
    }
    let docs = include_str!("../docs/coming-from-pgai.md");
    let (_, chapter) = docs
        .split_once("## Documents that are parsed")
        .expect("the page has the chapter");
    let query = chapter
        .split("```")
        .nth(1)
        .and_then(|block| block.strip_prefix("sql"))
        .expect("it has a query");
    let query = query.trim().trim_end_matches(';');
    let named = format!("SELECT string_agg(q.name || ' ' || q.parser, ', ' ORDER BY q.id) FROM ({query}) q");
    assert_eq!(ours.value(&named), "uri auto, pymupdf pymupdf, bytes docling");
}
