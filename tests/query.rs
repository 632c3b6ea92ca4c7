//! Embedding in the session that asks: the vectors, the errors, and the ways out while a provider does not answer.

mod support;

use std::collections::HashSet;
use std::fs;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::error::DbError;
use provider::vectors::Vocabulary;
use provider::{Behaviour, Provider};
use support::{Answer, Cluster, DEADLINE, Options, Proxy, Request, Stop, wait_until};

/// The server's key, and one that a caller passes.
const KEY: &str = "canary-server-key-0123456789";
const OWN_KEY: &str = "canary-own-key-9876543210";
/// A way out takes milliseconds. A provider that hangs keeps a session for as long as `ai.request_timeout`, a
/// minute, and the machine may be busy: anywhere between tells the two apart.
const AT_ONCE: Duration = Duration::from_secs(15);
const HANGING: &str = "SELECT ai.openai_embed('m', 'text', dimensions => 3)";

/// A call in a session of its own: what becomes of it, and the session.
type Waiting = JoinHandle<(Result<(), postgres::Error>, Client)>;

struct Stage {
    cluster: Cluster,
    provider: Provider,
}

fn stage() -> Stage {
    let provider = Provider::start();
    provider.require_key(Some(KEY));
    let options = Options::default()
        .env("OPENAI_API_KEY", KEY)
        .env("OPENAI_BASE_URL", provider.base_url());
    let cluster = Cluster::start(options);
    cluster.execute("CREATE EXTENSION ai CASCADE");
    Stage { cluster, provider }
}

impl Stage {
    fn session(&self) -> Client {
        self.cluster.connect().expect("the server takes connections")
    }

    /// A session that waits for a provider that hangs: its process, and what becomes of it.
    fn hanging(&self, prepare: &str) -> (i32, Waiting) {
        self.provider.behave(Behaviour::Hang);
        let mut session = self.session();
        session.batch_execute(prepare).expect("settings can be set");
        let pid = pid(&mut session);
        let waiting = std::thread::spawn(move || (session.batch_execute(HANGING), session));
        self.wait_for_requests_in_flight(1);
        (pid, waiting)
    }

    fn wait_for_requests_in_flight(&self, number: u64) {
        let in_flight = || self.provider.counts().in_flight;
        wait_until("requests in flight", DEADLINE, in_flight, |seen| *seen == number);
    }
}

fn pid(session: &mut Client) -> i32 {
    session
        .query_one("SELECT pg_backend_pid()", &[])
        .expect("it is alive")
        .get(0)
}

/// The numbers of a vector as Postgres prints it.
fn numbers(vector: &str) -> Vec<f32> {
    let inside = vector.trim_start_matches('[').trim_end_matches(']');
    inside
        .split(',')
        .map(|number| number.parse().expect("a number"))
        .collect()
}

fn embed(session: &mut Client, sql: &str) -> Vec<f32> {
    let row = session
        .query_one(&format!("SELECT ({sql})::text"), &[])
        .unwrap_or_else(|error| panic!("{sql}\n{}", support::database::describe(&error)));
    numbers(row.get(0))
}

/// The error of a call, with all its texts.
fn refused(session: &mut Client, sql: &str) -> DbError {
    let error = session.batch_execute(sql).expect_err("it fails");
    error.as_db_error().unwrap_or_else(|| panic!("{sql}\n{error}")).clone()
}

/// Threads of a process that serve the network.
fn network_threads(pid: i32) -> HashSet<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is alive");
    let threads = tasks
        .map(|task| task.expect("a thread").path())
        .filter(|path| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with("ai network")));
    threads.map(|path| path.display().to_string()).collect()
}

#[test]
fn vectors_are_those_of_the_provider() {
    let stage = stage();
    let mut session = stage.session();
    let vocabulary = Vocabulary::default();
    let text = "Where do herons sleep?";
    let query = vocabulary.embed(text, 768);
    assert_eq!(
        embed(
            &mut session,
            &format!("ai.openai_embed('m', '{text}', dimensions => 768)")
        ),
        query
    );
    // Without dimensions, the model's own length.
    let own_length = embed(&mut session, &format!("ai.openai_embed('m', '{text}')"));
    assert_eq!(own_length, vocabulary.embed(text, 1536));
    assert_eq!(
        stage.provider.seen().pop().expect("a request was made").dimensions,
        None
    );

    let rows = session
        .query(
            "SELECT index, embedding::text FROM ai.openai_embed('m', ARRAY['one', 'two', 'one'], dimensions => 5, openai_user => 'ada')",
            &[],
        )
        .expect("the provider answers");
    let received: Vec<(i32, Vec<f32>)> = rows.iter().map(|row| (row.get(0), numbers(row.get(1)))).collect();
    let expected = ["one", "two", "one"].map(|text| vocabulary.embed(text, 5));
    assert_eq!(received, (0..).zip(expected).collect::<Vec<_>>());
    let seen = stage.provider.seen().pop().expect("a request was made");
    assert_eq!((seen.texts.len(), seen.user.as_deref()), (3, Some("ada")));

    // A vectorizer embeds queries as it embedded its documents, by the address and the key that it was made with.
    stage.provider.require_key(Some(OWN_KEY));
    let mut cluster = stage.cluster;
    cluster.restart_with(|options| {
        options
            .env("ANOTHER_KEY", OWN_KEY)
            .env("OPENAI_BASE_URL", "http://127.0.0.1:1")
    });
    cluster.execute(&format!(
        "CREATE TABLE doc (id int PRIMARY KEY, body text);
         INSERT INTO doc VALUES (1, '{text}');
         SELECT ai.create_vectorizer('doc', name => 'docs', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('m', 8, api_key_name => 'ANOTHER_KEY', base_url => '{}'))",
        stage.provider.base_url()
    ));
    cluster.wait_until_settled();
    let same = "SELECT count(*) FROM doc_embedding d, ai.vectorizer v WHERE d.embedding =";
    for call in [
        "ai.vectorizer_embed('docs', d.body)",
        "ai.vectorizer_embed('docs', d.body, 'query')",
        "ai.vectorizer_embed(v.id, d.body)",
        "ai.vectorizer_embed(v.config -> 'embedding', d.body)",
    ] {
        assert_eq!(cluster.value(&format!("{same} {call}")), "1", "{call}");
    }
    // A caller's own key, and a caller's own address.
    let client_config = format!("{{\"base_url\": \"{}\"}}", stage.provider.base_url());
    let own = format!(
        "SELECT ai.openai_embed('m', 'x', api_key => '{OWN_KEY}', dimensions => 2, client_config => '{client_config}') IS NOT NULL"
    );
    assert_eq!(cluster.value(&own), "t");
}

#[test]
fn each_provider_is_asked_in_its_own_way() {
    // It answers all by itself.
    let proxy = Proxy::start(([127, 0, 0, 1], 1).into());
    proxy.answer("/api/embed", say(r#"{"embeddings": [[1, 2, 3]]}"#));
    proxy.answer(
        "/voyage/embeddings",
        say(r#"{"data": [{"embedding": [4, 5], "index": 0}]}"#),
    );
    proxy.answer("/v2/embed", say(r#"{"embeddings": {"float": [[6]]}}"#));
    let options = Options::default()
        .env("OLLAMA_HOST", proxy.url())
        .env("VOYAGE_API_BASE", format!("{}/voyage", proxy.url()))
        .env("VOYAGE_API_KEY", KEY)
        .env("COHERE_API_BASE", proxy.url())
        .env("COHERE_API_KEY", KEY);
    let cluster = Cluster::start(options);
    cluster.execute("CREATE EXTENSION ai CASCADE");
    let ask = |call: &str| -> (String, serde_json::Value, Option<String>) {
        let vector = cluster.value(&format!("SELECT {call}"));
        let Request { body, headers, .. } = proxy.requests().pop().expect("a request was made");
        let body = serde_json::from_str(&body).expect("requests are JSON");
        (vector, body, headers.get("authorization").cloned())
    };

    let (vector, body, key) =
        ask("ai.ollama_embed('nomic', 'text', keep_alive => '5m', embedding_options => '{\"num_ctx\": 9}')");
    assert_eq!((vector.as_str(), key), ("[1,2,3]", None));
    assert_eq!((&body["model"], &body["input"][0]), (&"nomic".into(), &"text".into()));
    assert_eq!(
        (&body["keep_alive"], &body["options"]["num_ctx"]),
        (&"5m".into(), &9.into())
    );
    let elsewhere = Proxy::start(([127, 0, 0, 1], 1).into());
    elsewhere.answer("/api/embed", say(r#"{"embeddings": [[7]]}"#));
    let call = format!("SELECT ai.ollama_embed('nomic', 'text', host => '{}')", elsewhere.url());
    assert_eq!(cluster.value(&call), "[7]");
    let ollama = "ai.vectorizer_embed(ai.embedding_ollama('nomic', 3, keep_alive => '-1'), 'text')";
    assert_eq!(ask(ollama).1["keep_alive"], -1);
    let (code, message) = cluster.refusal("SELECT ai.vectorizer_embed(ai.embedding_ollama('nomic', 4), 'text')");
    assert_eq!(
        (code.as_str(), message.contains("3 dimensions, expected 4")),
        ("55000", true),
        "{message}"
    );

    let (vector, body, key) = ask("ai.voyageai_embed('voyage-3.5', 'text')");
    assert_eq!((vector.as_str(), key), ("[4,5]", Some(format!("Bearer {KEY}"))));
    assert!(
        body.get("input_type").is_none() && body.get("output_dimension").is_none(),
        "{body}"
    );
    let (_, body, key) = ask(&format!(
        "ai.voyageai_embed('v', 'text', 'document', api_key => '{OWN_KEY}')"
    ));
    assert_eq!(
        (&body["input_type"], key),
        (&"document".into(), Some(format!("Bearer {OWN_KEY}")))
    );
    assert_eq!(
        cluster.rows("SELECT * FROM ai.voyageai_embed('v', ARRAY['text'])"),
        [["0", "[4,5]"]]
    );
    for call in ["'text'", "ARRAY['text']"] {
        let (_, body, _) = ask(&format!(
            "ai.voyageai_embed('v', {call}, output_dimension => 2, output_dtype => 'float')"
        ));
        assert_eq!(body["output_dimension"], 2, "{body}");
    }
    // Its length counts, and a table of floats takes no bits.
    let (code, message) = cluster.refusal("SELECT ai.voyageai_embed('v', 'text', output_dimension => 3)");
    assert!(
        code == "55000" && message.contains("2 dimensions, expected 3"),
        "{code} {message}"
    );
    let (code, message) = cluster.refusal("SELECT ai.voyageai_embed('v', 'text', output_dtype => 'binary')");
    assert!(code == "22023" && message.contains("output_dtype"), "{code} {message}");
    let query = |config: &str| ask(&format!("ai.vectorizer_embed({config}, 'text')")).1["input_type"].clone();
    // What was a document when it was written is looked for with a query.
    assert_eq!(query("ai.embedding_voyageai('v', 2)"), "query");
    assert_eq!(query("ai.embedding_voyageai('v', 2, NULL)"), "query");
    assert_eq!(query("ai.embedding_litellm('voyage/v', 2)"), "query");
    assert_eq!(query("ai.embedding_litellm('cohere/c', 1)"), "search_query");
    let document = ask("ai.vectorizer_embed(ai.embedding_voyageai('v', 2, 'query'), 'text', 'document')").1;
    assert_eq!(document["input_type"], "document");
}

/// pgai's settings. Whoever could set them would have the keys of the server sent to himself.
#[test]
fn a_superuser_may_lead_a_session_to_another_server() {
    let stage = stage();
    let elsewhere = Proxy::start(([127, 0, 0, 1], 1).into());
    elsewhere.answer("/v1/embeddings", say(r#"{"data": [{"index": 0, "embedding": [7]}]}"#));
    elsewhere.answer("/api/embed", say(r#"{"embeddings": [[8]]}"#));
    let url = elsewhere.url();
    let mut session = stage.session();
    let set = format!("SET ai.openai_base_url = '{url}/v1'; SET ai.ollama_host = '{url}'");
    session.batch_execute(&set).expect("a superuser may");
    assert_eq!(embed(&mut session, "ai.openai_embed('m', 'text')"), [7.0]);
    assert_eq!(embed(&mut session, "ai.ollama_embed('m', 'text')"), [8.0]);
    // What the call says comes first, and vectorizers have an address of their own.
    let openai = stage.provider.base_url();
    let told =
        format!("ai.openai_embed('m', 'text', dimensions => 3, client_config => '{{\"base_url\": \"{openai}\"}}')");
    let expected = Vocabulary::default().embed("text", 3);
    assert_eq!(embed(&mut session, &told), expected);
    let by_config = "ai.vectorizer_embed(ai.embedding_openai('m', 3), 'text')";
    assert_eq!(embed(&mut session, by_config), expected);

    // Others follow where they are led, and lead nowhere.
    stage.cluster.execute(&format!(
        "CREATE ROLE app; ALTER ROLE app SET ai.ollama_host = '{url}'; GRANT USAGE ON FOREIGN SERVER ai_openai TO app;
         ALTER DATABASE postgres SET ai.openai_base_url = '{url}/v1'"
    ));
    let mut session = stage.session();
    session.batch_execute("SET ROLE app").expect("a superuser may");
    assert_eq!(embed(&mut session, "ai.openai_embed('m', 'text')"), [7.0]);
    for sql in [
        "SET ai.openai_base_url = 'http://198.51.100.1'",
        "SET LOCAL ai.ollama_host = 'http://198.51.100.1'",
        "SELECT set_config('ai.openai_base_url', '', false)",
    ] {
        assert_eq!(refused(&mut session, sql).code().code(), "42501", "{sql}");
    }
    let own = "ALTER ROLE app SET ai.openai_base_url = 'http://198.51.100.1'";
    assert_eq!(refused(&mut session, own).code().code(), "42501");
    let function = "CREATE FUNCTION public.led() RETURNS void LANGUAGE sql SET ai.ollama_host = 'x' AS 'SELECT'";
    stage.cluster.execute("GRANT CREATE ON SCHEMA public TO app");
    assert_eq!(refused(&mut session, function).code().code(), "42501");
}

#[test]
fn tokens_are_embedded_as_their_text() {
    let stage = stage();
    let mut session = stage.session();
    let call = |tokens: &str| format!("ai.openai_embed('text-embedding-3-small', {tokens}, dimensions => 3)");
    // tiktoken.get_encoding('cl100k_base').encode('tiktoken is great!')
    let vector = embed(&mut session, &call("ARRAY[83, 1609, 5963, 374, 2294, 0]"));
    assert_eq!(vector, Vocabulary::default().embed("tiktoken is great!", 3));
    for (tokens, code, message) in [
        ("ARRAY[-5]", "22023", "-5 is no token of cl100k_base"),
        ("ARRAY[1, NULL]", "22004", "input_tokens must not hold NULL"),
    ] {
        let error = refused(&mut session, &format!("SELECT {}", call(tokens)));
        assert_eq!((error.code().code(), error.message()), (code, message));
    }
    let error = refused(&mut session, "SELECT ai.openai_embed('m', ARRAY[1])");
    assert_eq!(error.message(), "the tokens of the model \"m\" are not known here");
    let requests = stage.provider.counts().requests;
    assert_eq!(requests, 1);
}

fn say(answer: &str) -> Answer {
    Answer::Say("200 OK", answer.to_owned())
}

#[test]
fn a_session_keeps_its_thread_and_starts_none_before_it_asks() {
    let stage = stage();
    let mut session = stage.session();
    let pid = pid(&mut session);
    session
        .batch_execute("SELECT * FROM ai.chunk_text('text')")
        .expect("it needs no provider");
    assert_eq!(network_threads(pid).len(), 0);
    embed(&mut session, "ai.openai_embed('m', 'one', dimensions => 3)");
    let threads = network_threads(pid);
    assert_eq!(threads.len(), 1);
    embed(&mut session, "ai.openai_embed('m', 'two', dimensions => 3)");
    embed(&mut session, "ai.openai_embed('another', 'two', dimensions => 3)");
    assert_eq!(network_threads(pid), threads);
}

#[test]
fn a_query_is_embedded_once_however_many_rows_it_is_compared_with() {
    let stage = stage();
    let mut session = stage.session();
    session
        .batch_execute(
            "CREATE TABLE chunk AS SELECT i, ('[' || i || ',1,1]')::vector(3) AS embedding FROM generate_series(1, 5000) AS i;
             CREATE INDEX ON chunk USING hnsw (embedding vector_l2_ops);
             ANALYZE chunk;",
        )
        .expect("a table can be made");
    let requests = |session: &mut Client, sql: &str| {
        let before = stage.provider.counts().requests;
        session.query(sql, &[]).expect("the provider answers");
        stage.provider.counts().requests - before
    };
    let per_row = "SELECT i FROM chunk ORDER BY embedding <-> ai.openai_embed('m', 'query', dimensions => 3) LIMIT 3";
    assert_eq!(requests(&mut session, per_row), 1);
    // The next statement asks again: a provider is not remembered for longer.
    assert_eq!(requests(&mut session, per_row), 1);
    let once =
        "SELECT i FROM chunk ORDER BY embedding <-> (SELECT ai.openai_embed('m', 'query', dimensions => 3)) LIMIT 3";
    assert_eq!(requests(&mut session, once), 1);
    let plan = session
        .query(&format!("EXPLAIN {once}"), &[])
        .expect("it can be planned");
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    assert!(plan.join("\n").contains("Index Scan using"), "{plan:#?}");

    // In a parallel plan the leader asks.
    session
        .batch_execute(
            "CREATE TABLE doc (id int PRIMARY KEY, body text);
             SELECT ai.create_vectorizer('doc', name => 'docs', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('m', 3), scheduling => ai.scheduling_none());
             SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
             SET enable_indexscan = off;",
        )
        .expect("settings can be set");
    let parallel = "SELECT count(*) FROM chunk WHERE embedding <-> (SELECT ai.vectorizer_embed('docs', 'query')) > 0";
    let plan = session
        .query(&format!("EXPLAIN {parallel}"), &[])
        .expect("it can be planned");
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    assert!(plan.join("\n").contains("Parallel Seq Scan"), "{plan:#?}");
    assert_eq!(requests(&mut session, parallel), 1);
}

#[test]
fn a_call_that_waits_can_be_cancelled_and_takes_its_request_along() {
    let stage = stage();
    let (pid, waiting) = stage.hanging("");
    let threads = network_threads(pid);
    let started = Instant::now();
    stage.cluster.execute(&format!("SELECT pg_cancel_backend({pid})"));
    let (outcome, mut session) = waiting.join().expect("the session does not panic");
    assert!(started.elapsed() < AT_ONCE, "cancelled after {:?}", started.elapsed());
    let error = outcome.expect_err("it was cancelled");
    assert_eq!(error.code().map(|code| code.code()), Some("57014"));
    stage.wait_for_requests_in_flight(0);
    // The session is as it was.
    stage.provider.behave(Behaviour::Well);
    let vector = embed(&mut session, "ai.openai_embed('m', 'text', dimensions => 3)");
    assert_eq!(vector, Vocabulary::default().embed("text", 3));
    assert_eq!(network_threads(pid), threads);
}

#[test]
fn statement_timeout_ends_a_call_that_waits() {
    let stage = stage();
    let started = Instant::now();
    // Long enough for the request to arrive.
    let (_, waiting) = stage.hanging("SET statement_timeout = '2s'");
    let (outcome, mut session) = waiting.join().expect("the session does not panic");
    assert!(started.elapsed() < AT_ONCE, "timed out after {:?}", started.elapsed());
    let error = outcome.expect_err("it timed out");
    assert_eq!(error.code().map(|code| code.code()), Some("57014"));
    stage.wait_for_requests_in_flight(0);
    // The exception can be caught, and the session goes on.
    session
        .batch_execute(
            "SET statement_timeout = '200ms';
             DO $$ BEGIN PERFORM ai.openai_embed('m', 'text', dimensions => 3);
             EXCEPTION WHEN query_canceled THEN RAISE NOTICE 'cancelled'; END $$;
             SET statement_timeout = 0;",
        )
        .expect("the exception is caught");
    stage.provider.behave(Behaviour::Well);
    embed(&mut session, "ai.openai_embed('m', 'text', dimensions => 3)");
}

#[test]
fn a_session_that_waits_can_be_ended() {
    let mut stage = stage();
    let (pid, waiting) = stage.hanging("");
    let started = Instant::now();
    stage.cluster.execute(&format!("SELECT pg_terminate_backend({pid})"));
    let (outcome, _) = waiting.join().expect("the session does not panic");
    assert!(outcome.is_err());
    let gone = || fs::exists(format!("/proc/{pid}")).is_ok_and(|there| !there);
    wait_until("the process is gone", DEADLINE, gone, |gone| *gone);
    assert!(started.elapsed() < AT_ONCE, "ended after {:?}", started.elapsed());
    stage.wait_for_requests_in_flight(0);

    let (_, waiting) = stage.hanging("");
    let stopped = stage.cluster.stop(Stop::Fast);
    assert!(stopped < AT_ONCE, "stopped after {stopped:?}");
    let (outcome, _) = waiting.join().expect("the session does not panic");
    assert!(outcome.is_err());
    assert!(!stage.cluster.log().contains("was terminated by signal"));
}

#[test]
fn an_error_says_what_kind_it_is_and_never_the_key() {
    let stage = stage();
    let mut session = stage.session();
    let call = "SELECT ai.openai_embed('m', 'canary text', dimensions => 3)";
    for (behaviour, code) in [
        (Behaviour::Unauthorized, "55000"),
        (Behaviour::NotFound, "55000"),
        (Behaviour::WrongSize, "55000"),
        (Behaviour::ServerError, "08000"),
        (Behaviour::Close, "08000"),
        (Behaviour::Cut, "08000"),
        (
            Behaviour::TooManyRequests {
                retry_after: Some(Duration::from_secs(100)),
            },
            "53400",
        ),
        (Behaviour::RejectInput("canary".to_owned()), "22023"),
        (Behaviour::TooFew, "08000"),
        (Behaviour::Rubbish, "08000"),
        (Behaviour::NotFinite, "38000"),
        (Behaviour::ZeroVector, "38000"),
    ] {
        stage.provider.behave(behaviour.clone());
        // A session of its own: a provider that asked for patience is left alone.
        let mut session = stage.session();
        let error = refused(&mut session, call);
        assert_eq!(error.code().code(), code, "{behaviour:?}: {error}");
        assert!(error.message().starts_with("embedding failed: "), "{error}");
        assert_eq!(error.detail(), Some("The provider is openai, the model \"m\"."));
        let own = refused(
            &mut session,
            &format!("SELECT ai.openai_embed('m', 'canary text', api_key => '{OWN_KEY}', dimensions => 3)"),
        );
        for error in [error, own] {
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
    stage.provider.behave(Behaviour::Hang);
    session
        .batch_execute("SET ai.request_timeout = 200")
        .expect("it can be set");
    let error = refused(&mut session, call);
    assert_eq!(error.code().code(), "08000");
    assert!(error.message().contains("within 200 ms"), "{error}");
    // Who passed a key is told that it is that key.
    stage.provider.behave(Behaviour::Well);
    let error = refused(
        &mut session,
        &format!("SELECT ai.openai_embed('m', 'x', api_key => '{OWN_KEY}', dimensions => 3)"),
    );
    assert_eq!(error.hint(), Some("check the API key in the argument api_key"));
    embed(&mut session, "ai.openai_embed('m', 'canary text', dimensions => 3)");
    assert!(!stage.cluster.log().contains(KEY));
}

/// What pgai's callers send along: to whose account at OpenAI a request belongs, and headers of a proxy of their own.
#[test]
fn headers_go_along_and_decide_neither_address_nor_key() {
    let proxy = Proxy::start(([127, 0, 0, 1], 1).into());
    proxy.answer(
        "/v1/embeddings",
        say(r#"{"data": [{"embedding": [1, 2], "index": 0}]}"#),
    );
    let options = Options::default()
        .env("OPENAI_API_KEY", KEY)
        .env("OPENAI_BASE_URL", format!("{}/v1", proxy.url()));
    let cluster = Cluster::start(options);
    cluster
        .execute("CREATE EXTENSION ai CASCADE; CREATE ROLE reader; GRANT USAGE ON FOREIGN SERVER ai_openai TO reader");
    let sent = |call: &str| {
        cluster.value(&format!("SELECT ai.openai_embed('m', {call})"));
        proxy.requests().pop().expect("a request was made").headers
    };
    let config = "client_config => ai.openai_client_config(organization => 'org-1', project => 'p-1',
                      default_headers => '{\"X-Trace\": \"1\", \"X-Team\": \"a\"}')";
    let headers = sent(&format!("'one', {config}, extra_headers => '{{\"X-Trace\": \"2\"}}'"));
    for (name, value) in [
        ("openai-organization", "org-1"),
        ("openai-project", "p-1"),
        ("x-trace", "2"),
        ("x-team", "a"),
    ] {
        assert_eq!(headers.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    // Others are of another call.
    assert!(!sent("'two'").contains_key("x-trace"));

    for name in ["Authorization", "host", "Content-Type", "X-Forwarded-For"] {
        let call = format!("SELECT ai.openai_embed('m', 'three', extra_headers => '{{\"{name}\": \"x\"}}')");
        let (code, message) = cluster.refusal(&call);
        assert!(
            code == "22023" && message.contains("cannot be set"),
            "{name}: {code} {message}"
        );
    }
    // They may say what the server's key pays for. A key of one's own is one's own affair.
    cluster.execute("SET ROLE reader");
    let call = "SELECT ai.openai_embed('m', 'four', extra_headers => '{\"OpenAI-Project\": \"p-2\"}')";
    assert_eq!(cluster.refusal(call).0, "42501");
    let headers = sent(&format!(
        "'five', api_key => '{OWN_KEY}', extra_headers => '{{\"OpenAI-Project\": \"p-2\"}}'"
    ));
    assert_eq!(headers["openai-project"], "p-2");
    assert_eq!(headers["authorization"], format!("Bearer {OWN_KEY}"));
    assert_eq!(
        cluster
            .refusal("SELECT ai.openai_embed('m', 'six', extra_headers => '[]')")
            .0,
        "22023"
    );
    assert_eq!(
        cluster
            .refusal("SELECT ai.openai_embed('m', 'six', extra_headers => '{\"a\": 1}')")
            .0,
        "22023"
    );
}
