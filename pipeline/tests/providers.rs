//! One suite for the APIs of all providers: each is asked, misbehaves and is understood alike.

use std::fmt::Debug;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use ai_pipeline::config;
use ai_pipeline::embed::{Embedded, Embedder, Error, Settings};
use ai_pipeline::error::Class;
use ai_pipeline::secret::Secret;
use futures_util::future::join_all;
use provider::vectors::Vocabulary;
use provider::{Api, Behaviour, Provider};
use serde_json::{Value, json};

const KEY: &str = "canary-0123456789-abcdefghij-wxyz";
/// No test takes this long; one that hangs fails instead.
const DEADLINE: Duration = Duration::from_secs(60);

/// A way to reach an API.
struct Subject {
    api: Api,
    /// As SQL makes it, without `dimensions`.
    config: Value,
    dimensions: usize,
    /// What is expected of a request for the text "hello".
    path: &'static str,
    body: Value,
    /// Most inputs of a request.
    inputs: usize,
}

impl Subject {
    fn new(api: Api, config: Value, path: &'static str, body: Value, inputs: usize) -> Subject {
        // What models have that are not asked for a length: see the provider.
        let dimensions = match (api, body.get("dimensions")) {
            (_, Some(dimensions)) => dimensions.as_u64().unwrap() as usize,
            _ => 1024,
        };
        Subject {
            api,
            config,
            dimensions,
            path,
            body,
            inputs,
        }
    }

    fn config_of(&self, dimensions: usize) -> config::Embedding {
        let mut config = self.config.clone();
        config["dimensions"] = json!(dimensions);
        serde_json::from_value(config).unwrap()
    }

    fn settings(&self, provider: &Provider) -> Settings {
        Settings {
            base_url: provider.base_url_of(self.api),
            api_version: None,
            api_key: Some(Secret::new(KEY.to_owned())),
            timeout: Duration::from_secs(20),
            max_requests_in_flight: 4,
            allowance: ai_pipeline::embed::Allowance::default(),
            gates: ai_pipeline::embed::Gates::default(),
        }
    }

    fn embedder(&self, provider: &Provider) -> Embedder {
        let config = self.config_of(self.dimensions);
        assert_eq!(config.check(), Ok(()), "{self:?}");
        Embedder::new(&config, self.settings(provider)).unwrap()
    }

    fn expected(&self, texts: &[String]) -> Vec<Vec<f32>> {
        let vector = |text: &String| Vocabulary::default().embed(text, self.dimensions);
        texts.iter().map(vector).collect()
    }

    async fn fails(&self, provider: &Provider, behaviour: Behaviour) -> Error {
        provider.reset();
        provider.behave(behaviour.clone());
        let error = in_time(self.embedder(provider).embed(texts(2, "a")))
            .await
            .expect_err(&format!("{self:?} {behaviour:?}"));
        let said = format!("{error} {error:?} {:?}", error.hint());
        for part in [&KEY[..8], &KEY[KEY.len() - 6..]] {
            assert!(!said.contains(part), "{self:?} {said}");
        }
        error
    }
}

impl Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.config)
    }
}

fn litellm(model: &str, extra_options: Value) -> Value {
    json!({ "implementation": "litellm", "model": model, "extra_options": extra_options })
}

#[rustfmt::skip]
fn subjects() -> Vec<Subject> {
    vec![
        Subject::new(
            Api::Openai,
            json!({ "implementation": "openai", "model": "text-embedding-3-small", "api_key_name": "OPENAI_API_KEY",
                    "user": "someone" }),
            "/v1/embeddings",
            json!({ "input": ["hello"], "model": "text-embedding-3-small", "dimensions": 8, "user": "someone",
                    "encoding_format": "base64" }),
            2048,
        ),
        Subject::new(
            Api::Openai,
            litellm("openai/some-model", json!({ "dimensions": 8, "input_type": "passage" })),
            "/v1/embeddings",
            json!({ "input": ["hello"], "model": "some-model", "dimensions": 8, "input_type": "passage",
                    "encoding_format": "base64" }),
            2048,
        ),
        Subject::new(
            Api::Azure,
            litellm("azure/text-embedding-3-large", json!({ "api_version": "2023-05-15" })),
            "/azure/openai/deployments/text-embedding-3-large/embeddings?api-version=2023-05-15",
            json!({ "input": ["hello"], "model": "text-embedding-3-large", "dimensions": 8,
                    "encoding_format": "base64" }),
            2048,
        ),
        Subject::new(
            Api::Mistral,
            litellm("mistral/mistral-embed", Value::Null),
            "/mistral/v1/embeddings",
            json!({ "input": ["hello"], "model": "mistral-embed", "encoding_format": "float" }),
            128,
        ),
        Subject::new(
            Api::Voyageai,
            json!({ "implementation": "voyageai", "model": "voyage-3.5", "api_key_name": "VOYAGE_API_KEY",
                    "input_type": "document" }),
            "/voyage/v1/embeddings",
            json!({ "input": ["hello"], "model": "voyage-3.5", "input_type": "document", "truncation": false,
                    "encoding_format": "base64" }),
            128,
        ),
        Subject::new(
            Api::Voyageai,
            litellm("voyage/voyage-law-2", json!({ "input_type": "query" })),
            "/voyage/v1/embeddings",
            json!({ "input": ["hello"], "model": "voyage-law-2", "input_type": "query", "truncation": false,
                    "encoding_format": "base64" }),
            128,
        ),
        Subject::new(
            Api::Ollama,
            json!({ "implementation": "ollama", "model": "nomic-embed-text", "options": { "num_ctx": 8192 },
                    "keep_alive": "5m" }),
            "/ollama/api/embed",
            json!({ "input": ["hello"], "model": "nomic-embed-text", "truncate": false, "options": { "num_ctx": 8192 },
                    "keep_alive": "5m" }),
            128,
        ),
        Subject::new(
            Api::Cohere,
            litellm("cohere/embed-english-v3.0", Value::Null),
            "/cohere/v2/embed",
            json!({ "texts": ["hello"], "model": "embed-english-v3.0", "input_type": "search_document",
                    "embedding_types": ["float"], "truncate": "NONE" }),
            96,
        ),
        Subject::new(
            Api::Huggingface,
            litellm("huggingface/BAAI/bge-large-en", json!({ "wait_for_model": true })),
            "/huggingface/models/BAAI/bge-large-en/pipeline/feature-extraction",
            json!({ "inputs": ["hello"], "truncate": false, "options": { "wait_for_model": true } }),
            32,
        ),
    ]
}

fn texts(count: usize, name: &str) -> Vec<String> {
    (0..count).map(|number| format!("{name} number{number}")).collect()
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("the test hangs")
}

/// Gateways refuse bodies of more than a few MB, and Cohere's API has no limit of tokens that is reached before. What counts
/// is what JSON makes of a text, which has more bytes than characters, or becomes longer by being written.
#[tokio::test]
async fn no_request_is_larger_than_gateways_take() {
    const MOST: usize = 4 * 1024 * 1024;
    // The inputs of one request would be half as much again.
    const TEXT: usize = 65_000;
    let provider = Provider::start_with(provider::Options {
        same_vector: true,
        ..provider::Options::default()
    });
    let provider = provider.unwrap();
    let subject = subjects()
        .into_iter()
        .find(|subject| matches!(subject.api, Api::Cohere));
    let subject = subject.unwrap();
    for (word, written) in [("漢", 3), ("🦀", 4), ("\"", 2), ("\u{1}", 6)] {
        provider.reset();
        let texts = vec![word.repeat(TEXT / written); subject.inputs];
        let embedded = in_time(subject.embedder(&provider).embed(texts)).await.unwrap();
        assert_eq!(embedded.vectors.len(), subject.inputs);
        let sizes: Vec<usize> = provider.seen().iter().map(|request| request.bytes).collect();
        // Beside the inputs, a request says how it is meant.
        let fit = sizes.iter().all(|bytes| *bytes <= MOST + 1024);
        assert!(fit && sizes.len() == 2, "{word:?}: {sizes:?}");
    }
}

#[tokio::test]
async fn requests_have_the_shape_of_the_api() {
    let provider = Provider::start();
    provider.require_key(Some(KEY));
    for subject in subjects() {
        provider.reset();
        let hello = vec!["hello".to_owned()];
        let embedded = in_time(subject.embedder(&provider).embed(hello.clone())).await.unwrap();
        assert_eq!(embedded.vectors, subject.expected(&hello));
        let request = provider.seen().remove(0);
        assert_eq!((request.api, request.path.as_str()), (subject.api, subject.path));
        assert_eq!(request.body, subject.body, "{subject:?}");
    }
}

#[tokio::test]
async fn lengths_are_asked_for_where_the_api_takes_them() {
    let provider = Provider::start();
    for (api, config) in [
        (
            Api::Voyageai,
            json!({ "implementation": "voyageai", "model": "voyage-3.5", "api_key_name": "K", "output_dimension": 8,
                    "output_dtype": "float" }),
        ),
        (Api::Voyageai, litellm("voyage/voyage-3.5", json!({ "dimensions": 8 }))),
        (Api::Cohere, litellm("cohere/embed-v4.0", Value::Null)),
        (Api::Cohere, litellm("cohere/embed-x", json!({ "dimensions": 8 }))),
    ] {
        provider.reset();
        let mut subject = Subject::new(api, config, "", json!({}), 1);
        subject.dimensions = 8;
        let embedded = in_time(subject.embedder(&provider).embed(texts(1, "a"))).await.unwrap();
        assert_eq!(embedded.vectors[0].len(), 8);
        assert_eq!(provider.seen()[0].body["output_dimension"], 8, "{subject:?}");
    }
}

#[tokio::test]
async fn an_address_may_name_more_or_less_of_the_endpoint() {
    let provider = Provider::start();
    let root = provider.base_url().strip_suffix("/v1").unwrap().to_owned();
    for subject in subjects() {
        let addresses = match subject.api {
            Api::Openai => vec!["/v1/", "/v1/embeddings"],
            Api::Azure => vec!["/azure/", "/azure/openai/deployments/text-embedding-3-large"],
            Api::Mistral => vec!["/mistral/v1/"],
            Api::Voyageai => vec!["/voyage/v1/"],
            Api::Ollama => vec!["", "/api", "/ollama/api/embed"],
            Api::Cohere => vec!["", "/v2", "/v2/embed"],
            // A server of one model.
            Api::Huggingface => vec!["/embed"],
        };
        for address in addresses {
            provider.reset();
            let settings = Settings {
                base_url: format!("{root}{address}"),
                ..subject.settings(&provider)
            };
            let embedder = Embedder::new(&subject.config_of(subject.dimensions), settings).unwrap();
            let embedded = in_time(embedder.embed(texts(1, "a"))).await;
            assert!(embedded.is_ok(), "{subject:?} {address}: {embedded:?}");
            assert_eq!(provider.seen()[0].api, subject.api);
        }
    }
    let ollama = subjects()
        .into_iter()
        .find(|subject| subject.api == Api::Ollama)
        .unwrap();
    let settings = Settings {
        base_url: root.strip_prefix("http://").unwrap().to_owned(),
        ..ollama.settings(&provider)
    };
    let embedder = Embedder::new(&ollama.config_of(ollama.dimensions), settings).unwrap();
    assert!(
        in_time(embedder.embed(texts(1, "a"))).await.is_ok(),
        "OLLAMA_HOST has no http://"
    );
}

#[tokio::test]
async fn azures_version_is_the_configured_one_or_the_servers_or_a_known_one() {
    let provider = Provider::start();
    for (configured, of_the_server, query) in [
        (
            json!({ "api_version": "2023-05-15" }),
            Some("2024-02-01"),
            "api-version=2023-05-15",
        ),
        (Value::Null, Some("2024-02-01"), "api-version=2024-02-01"),
        (Value::Null, None, "api-version=2024-10-21"),
    ] {
        provider.reset();
        let subject = Subject::new(Api::Azure, litellm("azure/my-model", configured), "", json!({}), 1);
        let settings = Settings {
            api_version: of_the_server.map(str::to_owned),
            ..subject.settings(&provider)
        };
        let embedder = Embedder::new(&subject.config_of(1536), settings).unwrap();
        in_time(embedder.embed(texts(1, "a"))).await.unwrap();
        let path = provider.seen().remove(0).path;
        assert_eq!(path, format!("/azure/openai/deployments/my-model/embeddings?{query}"));
    }
}

#[tokio::test]
async fn vectors_come_in_order_over_requests_within_the_limits() {
    let provider = Provider::start();
    for subject in subjects() {
        for behaviour in [Behaviour::Shuffled, Behaviour::FloatsOnly] {
            provider.reset();
            provider.behave(behaviour);
            let texts = texts(subject.inputs * 2 + 1, "text");
            let embedded = in_time(subject.embedder(&provider).embed(texts.clone())).await.unwrap();
            assert!(
                embedded.vectors == subject.expected(&texts),
                "{subject:?}: other vectors or order"
            );
            assert_eq!(embedded.cut, [0; 0]);
            let sizes: Vec<usize> = provider.seen().iter().map(|request| request.texts.len()).collect();
            assert_eq!(
                (sizes.len(), sizes.iter().max()),
                (3, Some(&subject.inputs)),
                "{subject:?}"
            );
            assert_eq!(provider.counts().failed_requests, 0, "{subject:?}");
        }
    }
}

#[tokio::test]
async fn requests_keep_within_the_limit_of_tokens() {
    let provider = Provider::start();
    let has_limit = |subject: &Subject| !matches!(subject.api, Api::Ollama | Api::Cohere | Api::Huggingface);
    for subject in subjects().into_iter().filter(has_limit) {
        provider.reset();
        // Words that the estimate and the provider count alike: 1,000 tokens each, 350,000 in all.
        let texts: Vec<String> = (0..350)
            .map(|number| format!("{number:04} {}", "word ".repeat(799)))
            .collect();
        in_time(subject.embedder(&provider).embed(texts)).await.unwrap();
        let counts = provider.counts();
        assert_eq!((counts.failed_requests, counts.inputs), (0, 350), "{subject:?}");
    }
}

#[tokio::test]
async fn answers_that_make_no_sense_are_refused() {
    let provider = Provider::start();
    for subject in subjects() {
        let (asked, longer) = (subject.dimensions, subject.dimensions + 1);
        for (behaviour, class, said) in [
            (
                Behaviour::WrongSize,
                Class::Configuration,
                format!("the model returned {longer} dimensions, expected {asked}"),
            ),
            (Behaviour::TooFew, Class::Transient, "1 vectors for 2 texts".to_owned()),
            (Behaviour::NotFinite, Class::Unknown, "not finite".to_owned()),
            (Behaviour::Rubbish, Class::Transient, "not JSON".to_owned()),
            (
                Behaviour::HalfJson,
                Class::Transient,
                "in the middle of its JSON".to_owned(),
            ),
            (
                Behaviour::Close,
                Class::Transient,
                "no answer from 127.0.0.1".to_owned(),
            ),
        ] {
            let error = subject.fails(&provider, behaviour.clone()).await;
            assert_eq!(error.class(), class, "{subject:?} {behaviour:?}: {error}");
            assert!(error.to_string().contains(&said), "{subject:?} {behaviour:?}: {error}");
        }
    }
}

/// As TEI writes numbers that JSON does not have.
#[tokio::test]
async fn a_vector_with_null_fails_its_document_and_no_other() {
    let provider = Provider::start();
    let config = json!({ "implementation": "litellm", "model": "huggingface/some/model", "dimensions": 2 });
    let subject = Subject::new(Api::Huggingface, config.clone(), "", json!({}), 32);
    let config = serde_json::from_value(config).unwrap();
    let embedder = Embedder::new(&config, subject.settings(&provider)).unwrap();
    provider.behave(Behaviour::Answer {
        status: 200,
        headers: Vec::new(),
        body: "[[0.5, null], [0.5, 0.25]]".to_owned(),
    });
    let [bad, good] = ["bad", "good"].map(|text| embedder.embed(vec![text.to_owned()]));
    let (bad, good) = in_time(futures_util::future::join(bad, good)).await;
    assert_eq!(good.unwrap().vectors, [[0.5, 0.25]]);
    let error = bad.unwrap_err();
    assert_eq!(error.class(), Class::Unknown, "{error}");
}

#[tokio::test]
async fn refusals_have_their_class_and_show_no_key() {
    let provider = Provider::start();
    for subject in subjects() {
        let error = subject.fails(&provider, Behaviour::Unauthorized).await;
        assert_eq!(error.class(), Class::Configuration, "{subject:?}: {error}");
        assert!(error.to_string().starts_with("Error code: 401"), "{error}");
        match subject.config_of(subject.dimensions).api_key_name() {
            Some(name) => assert!(error.hint().unwrap().contains(&name), "{:?}", error.hint()),
            None => assert!(error.hint().unwrap().contains("no setting"), "{:?}", error.hint()),
        }
        let error = subject.fails(&provider, Behaviour::NotFound).await;
        assert_eq!(error.class(), Class::Configuration, "{subject:?}: {error}");
        let hint = error.hint().unwrap();
        match subject.api {
            Api::Ollama => assert!(hint.contains("ollama pull nomic-embed-text"), "{hint}"),
            _ => assert!(
                hint.contains(subject.config["model"].as_str().unwrap().rsplit('/').next().unwrap()),
                "{hint}"
            ),
        }
        assert_eq!(
            provider.counts().requests,
            1,
            "{subject:?}: a missing model is not looked for in the inputs"
        );
        let error = subject.fails(&provider, Behaviour::ServerError).await;
        assert_eq!(error.class(), Class::Transient, "{subject:?}: {error}");
        let pause = Duration::from_secs(40);
        let error = subject
            .fails(
                &provider,
                Behaviour::TooManyRequests {
                    retry_after: Some(pause),
                },
            )
            .await;
        let Class::Throttled {
            retry_after: Some(wait),
        } = error.class()
        else {
            panic!("{subject:?}: {error:?}")
        };
        assert!(wait <= pause && wait > pause / 2, "{wait:?}");
    }
}

#[tokio::test]
async fn a_short_pause_is_waited_out() {
    const PAUSE: Duration = Duration::from_millis(300);
    let provider = Provider::start();
    for subject in subjects() {
        provider.reset();
        provider.behave_times(
            1,
            Behaviour::TooManyRequests {
                retry_after: Some(PAUSE),
            },
        );
        let started = Instant::now();
        let embedded = in_time(subject.embedder(&provider).embed(texts(2, "a"))).await;
        assert!(
            embedded.is_ok() && started.elapsed() >= PAUSE,
            "{subject:?}: {embedded:?}"
        );
        assert_eq!(provider.counts().requests, 2);
    }
}

#[tokio::test]
async fn one_bad_input_fails_one_document() {
    let provider = Provider::start();
    for subject in subjects() {
        provider.reset();
        provider.behave(Behaviour::RejectInput("poison".to_owned()));
        let embedder = subject.embedder(&provider);
        let mut documents: Vec<Vec<String>> = (0..16).map(|number| texts(2, &format!("document{number}"))).collect();
        documents[11][1] = "a long and private text of the user that has poison in it".to_owned();
        let embedded = in_time(join_all(documents.iter().map(|texts| embedder.embed(texts.clone())))).await;
        for (number, (texts, result)) in documents.iter().zip(embedded).enumerate() {
            match result {
                Ok(Embedded { vectors, cut }) => {
                    assert!(
                        number != 11 && vectors == subject.expected(texts) && cut.is_empty(),
                        "{subject:?}"
                    );
                }
                Err(error) => {
                    assert_eq!((number, error.class()), (11, Class::Permanent), "{subject:?}: {error}");
                    let said = format!("{error} {error:?}");
                    assert!(said.starts_with("Error code: ") && !said.contains("private"), "{said}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_provider_that_rejects_everything_is_not_asked_about_each_input() {
    let provider = Provider::start();
    for subject in subjects().into_iter().filter(|subject| subject.inputs > 90) {
        provider.reset();
        provider.behave(Behaviour::RejectInput("text".to_owned()));
        provider.behave_times(1, Behaviour::Slow(Duration::from_secs(1)));
        let settings = Settings {
            max_requests_in_flight: 1,
            ..subject.settings(&provider)
        };
        let embedder = Embedder::new(&subject.config_of(subject.dimensions), settings).unwrap();
        // All texts are there before the second request may leave, so that requests are full on a busy machine, too.
        let first = tokio::spawn({
            let embedder = embedder.clone();
            async move { embedder.embed(vec!["first".to_owned()]).await }
        });
        while provider.counts().in_flight == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let documents: Vec<String> = texts(500, "text");
        let embedded = in_time(join_all(
            documents.iter().map(|text| embedder.embed(vec![text.clone()])),
        ))
        .await;
        assert!(first.await.unwrap().is_ok(), "{subject:?}");
        let classes: Vec<Class> = embedded.into_iter().map(|result| result.unwrap_err().class()).collect();
        assert!(classes.contains(&Class::Permanent), "{subject:?}: some were sent alone");
        // A request is given up after eight of its documents; each may be sent twice, the second time to be cut. Without
        // that there would be two or three requests for each text.
        let most = 60 * 500_usize.div_ceil(subject.inputs);
        assert!(
            provider.counts().requests <= most as u64,
            "{subject:?} {:?}",
            provider.counts()
        );
    }
}

#[tokio::test]
async fn a_text_that_is_too_long_is_cut_and_named_or_fails_alone() {
    const GREATEST: usize = 200;
    let provider = Provider::start();
    for subject in subjects() {
        provider.reset();
        provider.behave(Behaviour::TooLong(GREATEST));
        let embedder = subject.embedder(&provider);
        let long = "é word ".repeat(100);
        let mut with_long = texts(5, "first");
        with_long[3].clone_from(&long);
        let short = texts(5, "second");
        let (first, second) = in_time(futures_util::future::join(
            embedder.embed(with_long.clone()),
            embedder.embed(short.clone()),
        ))
        .await;
        let second = second.unwrap();
        assert!(
            second.vectors == subject.expected(&short) && second.cut.is_empty(),
            "{subject:?}"
        );
        if matches!(subject.api, Api::Openai | Api::Azure | Api::Mistral) {
            assert_eq!(first.unwrap_err().class(), Class::Permanent, "{subject:?}");
            continue;
        }
        let first = first.unwrap();
        with_long[3].truncate(long.floor_char_boundary(GREATEST));
        assert!(first.vectors == subject.expected(&with_long), "{subject:?}");
        assert_eq!(first.cut, [3], "{subject:?}");
        let asked_to_cut = |body: &Value| {
            [&body["truncate"], &body["truncation"]].contains(&&json!(true)) || body["truncate"] == "END"
        };
        let cut: Vec<usize> = provider
            .seen()
            .iter()
            .filter(|request| asked_to_cut(&request.body))
            .map(|request| request.texts.len())
            .collect();
        assert_eq!(
            cut,
            [1],
            "{subject:?}: only the text that was refused alone is to be cut"
        );
    }
}

#[tokio::test]
async fn a_server_without_base64_is_asked_for_floats() {
    let provider = Provider::start();
    for subject in subjects()
        .into_iter()
        .filter(|subject| subject.body["encoding_format"] == "base64")
    {
        provider.reset();
        let body = json!({ "error": { "message": "unknown field", "param": "encoding_format" } }).to_string();
        provider.behave_times(
            1,
            Behaviour::Answer {
                status: 400,
                headers: Vec::new(),
                body,
            },
        );
        let embedder = subject.embedder(&provider);
        for _ in 0..2 {
            in_time(embedder.embed(texts(1, "a"))).await.unwrap();
        }
        let seen = provider.seen();
        assert_eq!((seen.len(), &seen[0].body["encoding_format"]), (3, &json!("base64")));
        for request in &seen[1..] {
            assert_ne!(request.body["encoding_format"], "base64", "{subject:?}");
        }
    }
}

#[tokio::test]
async fn ollama_needs_no_key_and_servers_of_ones_own_get_none() {
    let provider = Provider::start();
    for subject in subjects() {
        provider.reset();
        let settings = Settings {
            api_key: None,
            ..subject.settings(&provider)
        };
        let embedder = Embedder::new(&subject.config_of(subject.dimensions), settings).unwrap();
        in_time(embedder.embed(texts(1, "a"))).await.unwrap();
        assert_eq!(provider.seen()[0].api_key, None, "{subject:?}");
    }
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The subject for a file of example answers, whose vectors have four numbers.
fn example_subject(api: &str) -> Subject {
    let api = Api::ALL
        .into_iter()
        .find(|known| format!("{known:?}").to_lowercase() == api)
        .unwrap_or_else(|| panic!("no API {api}"));
    let mut subject = subjects().into_iter().find(|subject| subject.api == api).unwrap();
    subject.dimensions = 4;
    subject
}

async fn check_example(provider: &Provider, subject: &Subject, answer: &Value) {
    let name = format!("{:?}: {}", subject.api, string(&answer["name"]));
    provider.reset();
    let headers = answer["headers"].as_object().into_iter().flatten();
    let example = Behaviour::Answer {
        status: answer["status"].as_u64().unwrap() as u16,
        headers: headers
            .map(|(name, value)| (name.clone(), string(value).to_owned()))
            .collect(),
        body: answer["body"]
            .as_str()
            .map_or_else(|| answer["body"].to_string(), str::to_owned),
    };
    let once = ["smaller", "cut"].contains(&string(&answer["meaning"]));
    // What comes after it has vectors of the model's usual length.
    let dimensions = if once && subject.body.get("dimensions").is_none() {
        1024
    } else {
        4
    };
    let embedder = Embedder::new(&subject.config_of(dimensions), subject.settings(provider)).unwrap();
    if once {
        provider.behave_times(1, example);
    } else {
        provider.behave(example);
    }
    match string(&answer["meaning"]) {
        "vectors" => {
            let embedded = in_time(embedder.embed(texts(2, "a"))).await.expect(&name);
            let expected: Vec<Vec<f32>> = serde_json::from_value(answer["expected"].clone()).unwrap();
            assert_eq!(embedded.vectors, expected, "{name}");
        }
        "smaller" => {
            for requests in [3, 5] {
                in_time(embedder.embed(texts(2, "a"))).await.expect(&name);
                let sizes: Vec<usize> = provider.seen().iter().map(|request| request.texts.len()).collect();
                assert_eq!(sizes.len(), requests, "{name}: {sizes:?}");
                assert!(sizes[1..].iter().all(|size| *size == 1), "{name}: {sizes:?}");
            }
        }
        "cut" => {
            let embedded = in_time(embedder.embed(texts(1, "a"))).await.expect(&name);
            assert_eq!((embedded.cut, provider.counts().requests), (vec![0], 2), "{name}");
        }
        class => {
            let error = in_time(embedder.embed(texts(2, "a"))).await.expect_err(&name);
            assert_eq!(error.class().as_str(), class, "{name}: {error}");
            let hint = error.hint().unwrap_or_default();
            assert!(hint.contains(string(&answer["hint"])), "{name}: {hint}");
            if answer["body"].is_object() {
                assert!(
                    error.to_string().contains(r#"{"message":"#),
                    "{name}: {error} says nothing"
                );
            }
        }
    }
}

#[tokio::test]
async fn example_answers_mean_what_they_say() {
    let provider = Provider::start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/providers");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        files += 1;
        let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let subject = example_subject(string(&file["api"]));
        for answer in file["answers"].as_array().unwrap() {
            check_example(&provider, &subject, answer).await;
        }
    }
    assert_eq!(files, Api::ALL.len());
}
