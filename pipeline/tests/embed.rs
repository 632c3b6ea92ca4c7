//! The embedder against a provider that misbehaves.

use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

use ai_pipeline::config;
use ai_pipeline::embed::{Embedded, Embedder, Error, Settings};
use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::secret::Secret;
use futures_util::future::join_all;
use provider::vectors::Vocabulary;
use provider::{Behaviour, Limits, Provider};
use tokio::time::sleep;

const KEY: &str = "canary-0123456789-abcdefghij-wxyz";
const DIMENSIONS: usize = 8;
/// No test takes this long; one that hangs fails instead.
const DEADLINE: Duration = Duration::from_secs(60);

fn model(model: &str, dimensions: usize) -> config::Embedding {
    config::Embedding::Openai {
        server: None,
        model: model.to_owned(),
        dimensions: dimensions as i32,
        user: Some("someone".to_owned()),
        api_key_name: "OPENAI_API_KEY".to_owned(),
        base_url: None,
    }
}

fn settings(provider: &Provider) -> Settings {
    Settings {
        base_url: provider.base_url(),
        api_version: None,
        api_key: Some(Secret::new(KEY.to_owned())),
        timeout: Duration::from_secs(20),
        max_requests_in_flight: 4,
        allowance: ai_pipeline::embed::Allowance::default(),
        gates: ai_pipeline::embed::Gates::default(),
    }
}

fn embedder(provider: &Provider) -> Embedder {
    Embedder::new(&model("text-embedding-3-small", DIMENSIONS), settings(provider)).unwrap()
}

fn expected(texts: &[String]) -> Embedded {
    let vector = |text: &String| Vocabulary::default().embed(text, DIMENSIONS);
    Embedded {
        vectors: texts.iter().map(vector).collect(),
        cut: Vec::new(),
    }
}

fn texts(count: usize, name: &str) -> Vec<String> {
    (0..count).map(|number| format!("{name} number{number}")).collect()
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("the test hangs")
}

async fn until(condition: impl Fn() -> bool) {
    in_time(async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn vectors_come_in_the_order_of_the_texts_over_several_requests() {
    let provider = Provider::start();
    for behaviour in [Behaviour::Well, Behaviour::Shuffled, Behaviour::FloatsOnly] {
        provider.reset();
        provider.behave(behaviour);
        let texts = texts(5000, "text");
        let embedded = in_time(embedder(&provider).embed(texts.clone())).await.unwrap();
        assert_eq!(embedded, expected(&texts));
        let sizes: Vec<usize> = provider.seen().iter().map(|request| request.texts.len()).collect();
        assert_eq!(sizes.len(), 3, "{sizes:?}");
        assert_eq!(*sizes.iter().max().unwrap(), 2048);
    }
}

#[tokio::test]
async fn a_request_says_what_was_configured() {
    let provider = Provider::start();
    provider.require_key(Some(KEY));
    in_time(embedder(&provider).embed(texts(1, "a"))).await.unwrap();
    let request = provider.seen().remove(0);
    assert_eq!(request.api_key.as_deref(), Some(KEY));
    assert_eq!(request.model, "text-embedding-3-small");
    assert_eq!(request.dimensions, Some(DIMENSIONS));
    assert_eq!(request.user.as_deref(), Some("someone"));
    assert_eq!(request.encoding_format.as_deref(), Some("base64"));
}

#[tokio::test]
async fn ada_is_asked_without_dimensions_and_has_only_one_length() {
    let provider = Provider::start();
    let embedder = Embedder::new(&model("text-embedding-ada-002", 1536), settings(&provider)).unwrap();
    assert_eq!(
        in_time(embedder.embed(texts(1, "a"))).await.unwrap().vectors[0].len(),
        1536
    );
    assert_eq!(provider.seen()[0].dimensions, None);
    let error = Embedder::new(&model("text-embedding-ada-002", 768), settings(&provider))
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "dimensions must be 1536 for text-embedding-ada-002");
    assert_eq!(error.class(), Class::Configuration);
}

#[tokio::test]
async fn a_model_may_be_left_its_own_length() {
    let provider = Provider::start();
    let ask = async |most: usize| {
        let embedder = Embedder::of_any_length(&model("m", most), settings(&provider)).unwrap();
        in_time(embedder.embed(texts(2, "text"))).await
    };
    let embedded = ask(16_000).await.unwrap();
    assert!(embedded.vectors.iter().all(|vector| vector.len() == 1536));
    assert_eq!(provider.seen().pop().unwrap().dimensions, None);
    assert_eq!(ask(1536).await.unwrap(), embedded);
    assert!(matches!(ask(1535).await, Err(Error::Dimensions { actual: 1536, .. })));
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_before_any_request() {
    let provider = Provider::start();
    let refused = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings(&provider);
        change(&mut settings);
        let error = Embedder::new(&model("m", DIMENSIONS), settings).err().unwrap();
        assert_eq!(error.class(), Class::Configuration);
        error
    };
    assert!(
        refused(&|settings| settings.base_url = "localhost:1/v1".to_owned())
            .hint()
            .unwrap()
            .contains("https://")
    );
    let error = refused(&|settings| settings.api_key = Some(Secret::new(format!("{KEY}\n"))));
    assert!(error.hint().unwrap().contains("OPENAI_API_KEY"));
    assert!(!format!("{error:?} {error}").contains(KEY));
    assert!(Embedder::new(&model("m", 0), settings(&provider)).is_err());
}

fn answer(status: u16, body: &str) -> Behaviour {
    Behaviour::Answer {
        status,
        headers: Vec::new(),
        body: body.to_owned(),
    }
}

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
        let settings = Settings {
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
    let settings = Settings {
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
async fn many_small_documents_share_few_requests() {
    let provider = Provider::start();
    let embedder = embedder(&provider);
    provider.behave_times(1, Behaviour::Slow(Duration::from_millis(300)));
    let first = tokio::spawn({
        let embedder = embedder.clone();
        async move { embedder.embed(texts(1, "first")).await }
    });
    until(|| provider.counts().in_flight == 1).await;
    let documents: Vec<Vec<String>> = (0..50).map(|number| texts(3, &format!("document{number}"))).collect();
    let embedded = in_time(join_all(documents.iter().map(|texts| embedder.embed(texts.clone())))).await;
    for (texts, vectors) in documents.iter().zip(embedded) {
        assert_eq!(vectors.unwrap(), expected(texts));
    }
    first.await.unwrap().unwrap();
    // One request for all of them; one or two more where the machine was too busy to hand in 50 documents at once.
    assert!(provider.counts().requests <= 4, "{:?}", provider.counts());
    assert_eq!(provider.counts().inputs, 151);
}

#[tokio::test]
async fn documents_that_can_wait_go_behind_those_that_came_later() {
    let provider = Provider::start();
    let settings = Settings {
        max_requests_in_flight: 1,
        ..settings(&provider)
    };
    let embedder = Embedder::new(&model("some-model", DIMENSIONS), settings).unwrap();
    provider.behave_times(1, Behaviour::Slow(Duration::from_millis(300)));
    let first = tokio::spawn({
        let embedder = embedder.clone();
        async move { embedder.embed(texts(1, "first")).await }
    });
    until(|| provider.counts().in_flight == 1).await;
    // More than a request takes, and then some that somebody waits for. Polled in this order.
    let old = (0..3).map(|number| texts(1000, &format!("old{number}")));
    let old = join_all(old.map(|texts| embedder.embed_document(texts, true)));
    let new = join_all((0..2).map(|number| embedder.embed_document(texts(2, &format!("new{number}")), false)));
    let both = futures_util::future::join(old, new);
    let (old, new) = in_time(both).await;
    first.await.unwrap().unwrap();
    assert!(old.iter().chain(&new).all(Result::is_ok));
    let sent: Vec<String> = provider
        .seen()
        .into_iter()
        .skip(1)
        .flat_map(|request| request.texts)
        .collect();
    let named = |name: &str| texts(2, name);
    assert_eq!(sent[..4], [named("new0"), named("new1")].concat());
    assert_eq!(sent[4], "old0 number0");
    assert_eq!(sent.len(), 3004);
}

#[tokio::test]
async fn documents_that_can_wait_go_behind_others_also_when_they_are_sent_again() {
    let provider = Provider::start_with(provider::Options {
        latency: Duration::from_millis(300),
        ..provider::Options::default()
    })
    .unwrap();
    provider.behave_times(
        1,
        Behaviour::TooManyRequests {
            retry_after: Some(Duration::from_millis(500)),
        },
    );
    let settings = Settings {
        max_requests_in_flight: 1,
        ..settings(&provider)
    };
    let embedder = Embedder::new(&model("some-model", DIMENSIONS), settings).unwrap();
    let ask = |name: &'static str, can_wait: bool| {
        let embedder = embedder.clone();
        tokio::spawn(async move { embedder.embed_document(texts(2, name), can_wait).await })
    };
    let old = ask("old", true);
    until(|| provider.counts().in_flight == 1).await;
    let new = ask("new", false);
    until(|| embedder.throttled_until().is_some()).await;
    let newer = ask("newer", false);
    for answer in [old, new, newer] {
        in_time(answer).await.unwrap().unwrap();
    }
    let sent: Vec<String> = provider
        .seen()
        .into_iter()
        .skip(1)
        .flat_map(|request| request.texts)
        .collect();
    assert_eq!(sent, [texts(2, "new"), texts(2, "newer"), texts(2, "old")].concat());
}

#[tokio::test]
async fn an_idle_embedder_does_not_wait_for_company() {
    let provider = Provider::start();
    let embedder = embedder(&provider);
    for number in 0..3 {
        in_time(embedder.embed(texts(1, "a"))).await.unwrap();
        assert_eq!(provider.counts().requests, number + 1);
    }
}

#[tokio::test]
async fn requests_keep_within_the_limits_of_tokens_and_of_requests_in_flight() {
    let provider = Provider::start();
    provider.behave(Behaviour::Slow(Duration::from_millis(50)));
    let settings = Settings {
        max_requests_in_flight: 2,
        ..settings(&provider)
    };
    let embedder = Embedder::new(&model("some-model", DIMENSIONS), settings).unwrap();
    // 100 texts of 10,000 tokens: at least four requests of 300,000.
    let texts: Vec<String> = (0..100)
        .map(|number| format!("{number} {}", "word ".repeat(8000)))
        .collect();
    in_time(embedder.embed(texts)).await.unwrap();
    let counts = provider.counts();
    assert_eq!((counts.failed_requests, counts.max_in_flight), (0, 2));
    assert_eq!(counts.requests, 4);
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
    let passing = embedded
        .into_iter()
        .filter(|result| result.as_ref().unwrap_err().class() == Class::Transient)
        .count();
    assert!(
        passing > 800,
        "most were never sent alone, and get another try: {passing}"
    );
    assert!(provider.counts().requests < 300, "{:?}", provider.counts());
    first.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_with_smaller_requests_is_learnt() {
    let provider = Provider::start();
    provider.behave(Behaviour::AtMost(32));
    let embedder = embedder(&provider);
    let texts = texts(1000, "a");
    assert_eq!(in_time(embedder.embed(texts.clone())).await.unwrap(), expected(&texts));
    let failed = provider.counts().failed_requests;
    assert!(failed < 30, "{failed}");
    in_time(embedder.embed(texts)).await.unwrap();
    assert_eq!(
        provider.counts().failed_requests,
        failed,
        "the second time no request is too large"
    );
}

#[tokio::test]
async fn a_server_that_takes_larger_requests_again_gets_them() {
    let provider = Provider::start();
    provider.behave(Behaviour::AtMost(64));
    let embedder = embedder(&provider);
    // Sixteen full requests of texts of one length: halved again and again, they are full ones of 64.
    let texts: Vec<String> = (10_000..10_000 + 16 * 2048)
        .map(|number| format!("number{number}"))
        .collect();
    in_time(embedder.embed(texts.clone())).await.unwrap();
    let failed = provider.counts().failed_requests;
    // Five halvings and a try or two, each by all that are in flight together.
    assert!(failed < 60, "{failed}");
    let full = provider
        .seen()
        .iter()
        .rev()
        .take(50)
        .filter(|request| request.texts.len() == 64)
        .count();
    assert!(full > 40, "a try that is refused has no consequences: {full}");
    provider.behave(Behaviour::Well);
    in_time(embedder.embed(texts)).await.unwrap();
    let largest = provider
        .seen()
        .iter()
        .map(|request| request.texts.len())
        .rev()
        .take(100)
        .max();
    assert!(largest.unwrap() >= 128, "{largest:?}");
}

#[tokio::test]
async fn a_server_without_base64_is_learnt() {
    let provider = Provider::start();
    let refusal = r#"{"error":{"message":"unsupported value","param":"encoding_format"}}"#;
    provider.behave_times(1, answer(400, refusal));
    let embedder = embedder(&provider);
    for _ in 0..2 {
        in_time(embedder.embed(texts(1, "a"))).await.unwrap();
    }
    let formats: Vec<_> = provider
        .seen()
        .into_iter()
        .map(|request| request.encoding_format.unwrap())
        .collect();
    assert_eq!(formats, ["base64", "float", "float"]);
}

#[tokio::test]
async fn a_short_pause_is_waited_out() {
    const PAUSE: Duration = Duration::from_millis(400);
    let provider = Provider::start();
    let embedder = embedder(&provider);
    provider.behave_times(
        1,
        Behaviour::TooManyRequests {
            retry_after: Some(PAUSE),
        },
    );
    let first = tokio::spawn({
        let embedder = embedder.clone();
        async move { embedder.embed(texts(1, "first")).await }
    });
    until(|| embedder.throttled_until().is_some()).await;
    let second = in_time(embedder.embed(texts(1, "second"))).await;
    assert!(second.is_ok() && first.await.unwrap().is_ok());
    assert_eq!(embedder.throttled_until(), None);
    let seen = provider.seen();
    assert!(seen[1].at - seen[0].at >= PAUSE, "{:?}", seen[1].at - seen[0].at);
    assert!(seen.len() <= 3);
}

#[tokio::test]
async fn a_server_that_is_busy_is_left_alone_as_long_as_it_says() {
    const PAUSE: Duration = Duration::from_secs(1);
    let provider = Provider::start();
    let embedder = embedder(&provider);
    provider.behave_times(
        1,
        Behaviour::Answer {
            status: 503,
            headers: vec![("retry-after".to_owned(), "1".to_owned())],
            body: "<html>".to_owned(),
        },
    );
    let error = in_time(embedder.embed(texts(1, "a"))).await.unwrap_err();
    assert_eq!(
        error.class(),
        Class::Transient,
        "it counts, as a server may be busy for ever"
    );
    in_time(embedder.embed(texts(1, "a"))).await.unwrap();
    let seen = provider.seen();
    assert!(seen[1].at - seen[0].at >= PAUSE, "{:?}", seen[1].at - seen[0].at);
}

#[tokio::test]
async fn a_budget_smaller_than_a_full_request_is_used_to_the_end_with_hardly_a_429() {
    let provider = Provider::start();
    // 20,000 tokens per second, at most 10,000 at once.
    let window = Duration::from_millis(500);
    provider.limit(Limits {
        requests_per_minute: 6000.0,
        tokens_per_minute: 1_200_000.0,
        window,
    });
    let embedder = embedder(&provider);
    let started = Instant::now();
    in_time(embedder.embed(texts(1, "first"))).await.unwrap();
    // 40 documents of 1,000 tokens.
    let documents = (0..40).map(|number| embedder.embed(vec![format!("{number} {}", "word ".repeat(800))]));
    for vectors in in_time(join_all(documents)).await {
        vectors.unwrap();
    }
    let counts = provider.counts();
    assert!(counts.tokens > 40_000, "{counts:?}");
    assert!(
        started.elapsed() > Duration::from_secs(1),
        "the provider's limit did not hold"
    );
    // The pace follows from estimates, so that a 429 now and then is in order.
    assert!(counts.failed_requests <= 4, "{counts:?}");
}

#[tokio::test]
async fn headers_that_promise_nothing_hold_up_no_request_for_long() {
    let provider = Provider::start();
    let embedder = embedder(&provider);
    let header = |what: &str, value: &str| (format!("x-ratelimit-{what}-requests"), value.to_owned());
    provider.behave_times(
        1,
        Behaviour::Answer {
            status: 429,
            headers: vec![
                header("limit", "1000"),
                header("remaining", "0"),
                header("reset", "24h"),
            ],
            body: "{}".to_owned(),
        },
    );
    in_time(embedder.embed(texts(1, "a"))).await.unwrap();
    assert_eq!(provider.counts().requests, 2);
}

#[tokio::test]
async fn a_long_pause_is_given_back_to_the_caller() {
    const PAUSE: Duration = Duration::from_secs(40);
    let provider = Provider::start();
    let embedder = embedder(&provider);
    provider.behave(Behaviour::TooManyRequests {
        retry_after: Some(PAUSE),
    });
    for _ in 0..2 {
        let started = Instant::now();
        let error = in_time(embedder.embed(texts(3000, "a"))).await.unwrap_err();
        let Class::Throttled {
            retry_after: Some(wait),
        } = error.class()
        else {
            panic!("{error:?}")
        };
        assert!(wait <= PAUSE && wait > PAUSE - DEADLINE.min(PAUSE / 2), "{wait:?}");
        assert!(error.to_string().starts_with("Error code: 429 - {"), "{error}");
        assert!(started.elapsed() < PAUSE / 2);
        assert!(embedder.throttled_until().unwrap() > SystemTime::now());
    }
    assert!(
        provider.counts().requests <= 2,
        "nothing is sent during the pause: {:?}",
        provider.counts()
    );
}

#[tokio::test]
async fn a_caller_that_gives_up_is_not_paid_for() {
    let provider = Provider::start();
    let settings = Settings {
        max_requests_in_flight: 1,
        ..settings(&provider)
    };
    let embedder = Embedder::new(&model("m", DIMENSIONS), settings).unwrap();
    provider.behave_times(1, Behaviour::Slow(Duration::from_millis(300)));
    let first = tokio::spawn({
        let embedder = embedder.clone();
        async move { embedder.embed(texts(1, "first")).await }
    });
    until(|| provider.counts().in_flight == 1).await;
    let mut given_up = Box::pin(embedder.embed(texts(3, "unwanted")));
    assert!(futures_util::poll!(&mut given_up).is_pending());
    drop(given_up);
    in_time(embedder.embed(texts(2, "wanted"))).await.unwrap();
    first.await.unwrap().unwrap();
    let sent: Vec<String> = provider.seen().into_iter().flat_map(|request| request.texts).collect();
    assert_eq!(sent, ["first number0", "wanted number0", "wanted number1"]);
}

#[tokio::test]
async fn a_text_that_is_too_long_for_the_model_is_cut() {
    let provider = Provider::start();
    let long = "supercalifragilistic ".repeat(20_000);
    let texts = vec!["short".to_owned(), long.clone()];
    assert_eq!(in_time(embedder(&provider).embed(texts)).await.unwrap().cut, [1]);
    let sent = provider.seen().remove(0).texts;
    assert_eq!(sent[0], "short");
    assert!(long.starts_with(&sent[1]));
    assert_eq!(bpe_openai::cl100k_base().count(sent[1].as_str()), 8191);

    provider.reset();
    let unknown = Embedder::new(&model("some-model", DIMENSIONS), settings(&provider)).unwrap();
    assert_eq!(in_time(unknown.embed(vec![long.clone()])).await.unwrap().cut, [0; 0]);
    assert_eq!(
        provider.seen()[0].texts[0],
        long,
        "the limits of other models are theirs to apply"
    );
}

#[tokio::test]
async fn empty_texts_fail_without_a_request_and_no_texts_need_none() {
    let provider = Provider::start();
    let embedder = embedder(&provider);
    let error = in_time(embedder.embed(vec!["a".to_owned(), String::new()]))
        .await
        .unwrap_err();
    assert_eq!(error, Error::Empty { index: 1, of: 2 });
    assert_eq!(error.class(), Class::Permanent);
    assert_eq!(in_time(embedder.embed(Vec::new())).await, Ok(Embedded::default()));
    assert_eq!(provider.counts().requests, 0);
}
