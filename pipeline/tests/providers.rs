//! One suite for the APIs of all providers: each is asked and understood alike.

mod support;

use std::path::Path;

use ai_pipeline::embed::{EmbedSettings, Embedder};
use futures_util::future::join_all;
use provider::{Api, Behaviour, Provider};
use serde_json::{Value, json};
use support::subject::{Subject, litellm, subjects};
use support::{KEY, in_time, texts};

/// Gateways refuse bodies of more than a few MB, and Cohere's API has no limit of tokens that is reached
/// before. What counts is what JSON makes of a text, which has more bytes than characters, or becomes longer
/// by being written.
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
            let settings = EmbedSettings {
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
    let settings = EmbedSettings {
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
        let settings = EmbedSettings {
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
async fn ollama_needs_no_key_and_servers_of_ones_own_get_none() {
    let provider = Provider::start();
    for subject in subjects() {
        provider.reset();
        let settings = EmbedSettings {
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
    let meaning = string(&answer["meaning"]);
    let once = ["smaller", "cut"].contains(&meaning);
    // What others are answered with has vectors of the model's usual length.
    let dimensions = if (once || meaning == "permanent") && subject.body.get("dimensions").is_none() {
        1024
    } else {
        4
    };
    let embedder = Embedder::new(&subject.config_of(dimensions), subject.settings(provider)).unwrap();
    if once {
        provider.behave_times(1, example.clone());
    } else {
        provider.behave(example.clone());
    }
    match meaning {
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
            let of_all = if class == "permanent" { "configuration" } else { class };
            assert_eq!(error.class().as_str(), of_all, "{name}: {error}");
            if class == "permanent" {
                provider.behave(Behaviour::To("number1".to_owned(), Box::new(example)));
                let documents = texts(2, "a").into_iter().map(|text| embedder.embed(vec![text]));
                let embedded = in_time(join_all(documents)).await.into_iter();
                let classes = embedded.map(|outcome| outcome.err().map(|error| error.class().as_str()));
                let classes: Vec<Option<&str>> = classes.collect();
                assert_eq!(classes, [None, Some(class)], "{name}");
            }
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
