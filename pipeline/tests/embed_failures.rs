//! A provider that fails, and one that refuses an input: who fails with it, and in which class.

mod support;

use std::time::Duration;

use ai_pipeline::embed::{EmbedSettings, Embedder, Error};
use ai_pipeline::error::{Class, Failure, Step};
use futures_util::future::join_all;
use provider::{Behaviour, Provider};
use support::embedder::{DIMENSIONS, answer, embedder, expected, model, settings};
use support::{KEY, in_time, texts, until};

/// Each way of going wrong, the class it has, how the message begins, and what the hint mentions.
fn failures() -> Vec<(Behaviour, Class, &'static str, &'static str)> {
    let quota =
        r#"{"error":{"message":"You exceeded your quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    let dimensions = r#"{"error":{"message":"This model does not support specifying dimensions.","param":null}}"#;
    let gateway = r#"{"error":{"message":"no model is loaded"}}"#;
    vec![
        (
            Behaviour::Unauthorized,
            Class::Configuration,
            "Error code: 401 - {",
            "OPENAI_API_KEY",
        ),
        (
            answer(403, "{}"),
            Class::Configuration,
            "Error code: 403",
            "OPENAI_API_KEY",
        ),
        (answer(402, "{}"), Class::Configuration, "Error code: 402", "credit"),
        (
            Behaviour::NotFound,
            Class::Configuration,
            "Error code: 404 - {",
            "text-embedding-3-small",
        ),
        (
            Behaviour::WrongSize,
            Class::Configuration,
            "the model returned 9 dimensions, expected 8",
            "dimensions => 9",
        ),
        (
            answer(400, dimensions),
            Class::Configuration,
            "Error code: 400 - {",
            "8 dimensions",
        ),
        (
            answer(429, quota),
            Class::Configuration,
            "Error code: 429 - {",
            "credit",
        ),
        (Behaviour::ServerError, Class::Transient, "Error code: 500 - {", ""),
        (answer(503, "<html>"), Class::Transient, "Error code: 503", ""),
        (Behaviour::Hang, Class::Transient, "no answer from 127.0.0.1:", ""),
        (Behaviour::Close, Class::Transient, "no answer from 127.0.0.1:", ""),
        (Behaviour::Cut, Class::Transient, "no answer from 127.0.0.1:", ""),
        (Behaviour::HalfJson, Class::Transient, "no answer from 127.0.0.1:", ""),
        (
            Behaviour::TooFew,
            Class::Transient,
            "the answer of the embedding server makes no sense: 1 vectors for 2",
            "",
        ),
        (
            Behaviour::NotFinite,
            Class::Unknown,
            "the answer of the embedding server makes no sense: the vector of",
            "",
        ),
        (
            Behaviour::Rubbish,
            Class::Transient,
            "the answer of the embedding server makes no sense: it is not JSON",
            "",
        ),
        (
            answer(200, gateway),
            Class::Transient,
            "the answer of the embedding server makes no sense: it is not a list",
            "",
        ),
        (
            answer(418, "{}"),
            Class::Transient,
            "the answer of the embedding server makes no sense: Error code: 418",
            "",
        ),
        (
            answer(200, &"[".repeat(200_000)),
            Class::Transient,
            "the answer of the embedding server makes no sense: ",
            "",
        ),
    ]
}

#[tokio::test]
async fn each_failure_has_its_class_and_shows_no_key() {
    let provider = Provider::start();
    for (behaviour, class, start, hint) in failures() {
        provider.reset();
        provider.behave(behaviour.clone());
        let timeout = Duration::from_millis(if behaviour == Behaviour::Hang { 200 } else { 20_000 });
        let settings = EmbedSettings {
            timeout,
            ..settings(&provider)
        };
        let embedder = Embedder::new(&model("text-embedding-3-small", DIMENSIONS), settings).unwrap();
        let error = in_time(embedder.embed(texts(2, "a"))).await.unwrap_err();
        assert_eq!(error.class(), class, "{behaviour:?}: {error}");
        assert!(error.to_string().starts_with(start), "{behaviour:?}: {error}");
        assert!(
            error.hint().unwrap_or_default().contains(hint),
            "{behaviour:?}: {:?}",
            error.hint()
        );
        let failure = Failure::from(error.clone());
        assert_eq!((failure.step, failure.class), (Step::Embedding, class));
        let everything = format!("{error} {error:?} {failure} {failure:?}");
        for part in [&KEY[..8], &KEY[KEY.len() - 6..]] {
            assert!(!everything.contains(part), "{everything}");
        }
    }
}

#[tokio::test]
async fn a_failed_request_is_sent_again_only_if_it_was_cut_before_an_answer() {
    let provider = Provider::start();
    for (behaviour, requests) in [
        (Behaviour::Close, 2),
        (Behaviour::Cut, 1),
        (Behaviour::ServerError, 1),
        (Behaviour::HalfJson, 1),
    ] {
        provider.reset();
        provider.behave(behaviour.clone());
        in_time(embedder(&provider).embed(texts(1, "a"))).await.unwrap_err();
        assert_eq!(provider.counts().requests, requests, "{behaviour:?}");
    }
    provider.reset();
    provider.behave_times(1, Behaviour::Close);
    assert!(in_time(embedder(&provider).embed(texts(1, "a"))).await.is_ok());
}

#[tokio::test]
async fn a_request_that_is_cut_after_a_while_may_have_been_paid_for() {
    let provider = Provider::start_with(provider::Options {
        latency: Duration::from_millis(1500),
        ..provider::Options::default()
    })
    .unwrap();
    provider.behave(Behaviour::Close);
    let error = in_time(embedder(&provider).embed(texts(1, "a"))).await.unwrap_err();
    assert!(matches!(error, Error::Connection { .. }), "{error}");
    assert_eq!(provider.counts().requests, 1);
}

#[tokio::test]
async fn nobody_listening_is_transient_and_a_missing_key_has_a_hint() {
    let gone = Provider::start();
    let settings_of_gone = settings(&gone);
    drop(gone);
    let embedder = Embedder::new(&model("m", DIMENSIONS), settings_of_gone).unwrap();
    let error = in_time(embedder.embed(texts(1, "a"))).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");

    let provider = Provider::start();
    let settings = EmbedSettings {
        api_key: None,
        ..settings(&provider)
    };
    let embedder = Embedder::new(&model("m", DIMENSIONS), settings).unwrap();
    assert!(
        in_time(embedder.embed(texts(1, "a"))).await.is_ok(),
        "a server that wants no key gets none"
    );
    assert_eq!(provider.seen()[0].api_key, None);
    provider.require_key(Some(KEY));
    let error = in_time(embedder.embed(texts(1, "a"))).await.unwrap_err();
    assert_eq!(error.class(), Class::Configuration);
    assert!(error.hint().unwrap().contains("set OPENAI_API_KEY"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (provider, elsewhere) = (Provider::start(), Provider::start());
    provider.behave(Behaviour::Redirect(format!("{}/embeddings", elsewhere.base_url())));
    let error = in_time(embedder(&provider).embed(texts(1, "a"))).await.unwrap_err();
    assert_eq!(error.class(), Class::Configuration);
    assert!(error.hint().unwrap().contains("base_url"));
    assert_eq!(elsewhere.counts().requests, 0);
}

#[tokio::test]
async fn one_bad_input_fails_one_document() {
    let provider = Provider::start();
    let embedder = embedder(&provider);
    provider.behave_times(1, Behaviour::Slow(Duration::from_millis(200)));
    provider.behave_times(usize::MAX, Behaviour::RejectInput("poison".to_owned()));
    let first = tokio::spawn({
        let embedder = embedder.clone();
        async move { embedder.embed(texts(1, "first")).await }
    });
    until(|| provider.counts().in_flight == 1).await;
    let mut documents: Vec<Vec<String>> = (0..50).map(|number| texts(10, &format!("document{number}"))).collect();
    documents[31][4] = "a long and private text of the user that has poison in it".to_owned();
    let embedded = in_time(join_all(documents.iter().map(|texts| embedder.embed(texts.clone())))).await;
    for (number, (texts, vectors)) in documents.iter().zip(embedded).enumerate() {
        match vectors {
            Ok(vectors) => {
                assert_ne!(number, 31);
                assert_eq!(vectors, expected(texts));
            }
            Err(error) => {
                assert_eq!(number, 31, "{error}");
                assert_eq!(error.class(), Class::Permanent);
                let said = format!("{error} {error:?}");
                assert!(
                    said.starts_with("Error code: 400 - {") && !said.contains("private"),
                    "{said}"
                );
            }
        }
    }
    first.await.unwrap().unwrap();
    // Two per halving of 500 inputs, and no storm.
    assert!(provider.counts().requests <= 30, "{:?}", provider.counts());
}

#[tokio::test]
async fn a_forbidden_input_fails_one_document_and_is_no_fault_of_the_key() {
    let provider = Provider::start();
    let embedder = embedder(&provider);
    provider.behave(Behaviour::ForbidInput("poison".to_owned()));
    // Alone, and among others.
    let alone = vec!["a long and private text of the user that has poison in it".to_owned()];
    let mut documents: Vec<Vec<String>> = (0..50).map(|number| texts(10, &format!("document{number}"))).collect();
    documents[31].push(alone[0].clone());
    for documents in [vec![alone], documents] {
        let embedded = in_time(join_all(documents.iter().map(|texts| embedder.embed(texts.clone())))).await;
        for (texts, vectors) in documents.iter().zip(embedded) {
            if texts.iter().all(|text| !text.contains("poison")) {
                assert_eq!(vectors.unwrap(), expected(texts));
                continue;
            }
            let error = vectors.unwrap_err();
            assert!(matches!(error, Error::Forbidden(_)), "{error}");
            assert_eq!(error.class(), Class::Unknown);
            assert_eq!(
                error.to_string(),
                "this text is refused, others are accepted: Error code: 403"
            );
        }
    }
    // Three per halving of 501 inputs, and no storm.
    assert!(provider.counts().requests <= 40, "{:?}", provider.counts());
}

#[tokio::test]
async fn a_forbidden_input_is_no_fault_of_the_key_where_base64_is_not_known() {
    let provider = Provider::start();
    let refusal = r#"{"error":{"message":"unsupported value","param":"encoding_format"}}"#;
    provider.behave_times(1, answer(403, "{}"));
    provider.behave_times(1, answer(400, refusal));
    let error = in_time(embedder(&provider).embed(texts(1, "a"))).await.unwrap_err();
    assert!(matches!(error, Error::Forbidden(_)), "{error}");
    assert_eq!(provider.counts().requests, 3);
}

#[tokio::test]
async fn nobody_is_blamed_for_a_403_while_the_provider_fails() {
    let provider = Provider::start();
    let embedder = embedder(&provider);
    for (next, class) in [
        (Behaviour::ServerError, Class::Transient),
        (answer(403, "{}"), Class::Configuration),
        (Behaviour::Unauthorized, Class::Configuration),
    ] {
        provider.behave_times(1, answer(403, "{}"));
        provider.behave_times(1, next);
        let error = in_time(embedder.embed(texts(2, "a"))).await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
    }
}

#[tokio::test]
async fn a_provider_that_rejects_everything_is_not_asked_about_each_input() {
    let provider = Provider::start();
    let embedder = embedder(&provider);
    provider.behave_times(1, Behaviour::Slow(Duration::from_millis(200)));
    provider.behave_times(usize::MAX, answer(400, r#"{"error":{"message":"no"}}"#));
    let first = tokio::spawn({
        let embedder = embedder.clone();
        async move { embedder.embed(texts(1, "first")).await }
    });
    until(|| provider.counts().in_flight == 1).await;
    let documents = (0..1000).map(|number| embedder.embed(texts(1, &format!("document{number}"))));
    let embedded = in_time(join_all(documents)).await;
    let classes = embedded.into_iter().map(|result| result.unwrap_err().class());
    assert!(
        classes.into_iter().all(|class| class == Class::Configuration),
        "the vectorizer pauses, and none is given up"
    );
    assert!(provider.counts().requests < 300, "{:?}", provider.counts());
    first.await.unwrap().unwrap();
}
