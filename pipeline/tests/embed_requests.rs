//! Which texts go into which request.

mod support;

use std::time::Duration;

use ai_pipeline::embed::{EmbedSettings, Embedder};
use futures_util::future::join_all;
use provider::{Behaviour, Provider};
use support::embedder::{DIMENSIONS, answer, embedder, expected, model, settings};
use support::{in_time, texts, until};

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
    let settings = EmbedSettings {
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
    let settings = EmbedSettings {
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
    let settings = EmbedSettings {
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
        .map(|request| request.encoding_format)
        .collect();
    assert_eq!(formats, [Some("base64".to_owned()), None, None]);
}

#[tokio::test]
async fn a_caller_that_gives_up_is_not_paid_for() {
    let provider = Provider::start();
    let settings = EmbedSettings {
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
