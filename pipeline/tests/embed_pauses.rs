//! A provider that asks for patience.

mod support;

use std::time::{Duration, Instant, SystemTime};

use ai_pipeline::embed::{EmbedSettings, Embedder};
use ai_pipeline::error::Class;
use ai_pipeline::fingerprint::Fingerprint;
use futures_util::future::join_all;
use provider::{Behaviour, Limits, Provider};
use support::embedder::{DIMENSIONS, embedder, model, settings};
use support::{DEADLINE, in_time, texts, until};

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

/// One model is throttled for a day, fails or hangs: others at the same server with the same key are answered
/// meanwhile, for any owner.
#[tokio::test]
async fn what_one_model_meets_stops_no_other() {
    let day = Behaviour::TooManyRequests {
        retry_after: Some(Duration::from_secs(86400)),
    };
    for (behaviour, owners) in [
        (day.clone(), [Some(1), Some(2)]),
        (day, [None, None]),
        (Behaviour::ServerError, [Some(1), Some(2)]),
        (Behaviour::Hang, [Some(1), Some(2)]),
        (Behaviour::Hang, [Some(1), None]),
        (Behaviour::Hang, [None, None]),
    ] {
        let provider = Provider::start();
        let is_hanging = behaviour == Behaviour::Hang;
        provider.behave(Behaviour::OfModel("bad".to_owned(), Box::new(behaviour)));
        let first = settings(&provider);
        let of = |name: &str, owner: Option<u8>| {
            let settings = EmbedSettings {
                owner: owner.map(|number| Fingerprint::of(None, &[number])),
                gates: first.gates.clone(),
                ..settings(&provider)
            };
            Embedder::new(&model(name, DIMENSIONS), settings).unwrap()
        };
        let (bad, good) = (of("bad", owners[0]), of("good", owners[1]));
        // More than there is room for, each in a request of its own.
        let many: Vec<_> = (0..12)
            .map(|number| {
                let bad = bad.clone();
                let text = format!("{number}{}", "x".repeat(3 << 20));
                tokio::spawn(async move { bad.embed(vec![text]).await })
            })
            .collect();
        if is_hanging {
            until(|| provider.counts().in_flight == 3).await;
        } else {
            in_time(join_all(many)).await.into_iter().for_each(|embedded| {
                embedded.unwrap().unwrap_err();
            });
        }
        for _ in 0..3 {
            let started = Instant::now();
            in_time(good.embed(texts(2, "good"))).await.unwrap();
            assert!(started.elapsed() < Duration::from_secs(5), "{owners:?}");
        }
        assert!(good.throttled_until().is_none());
        assert!(provider.counts().max_in_flight <= 4);
    }
}

/// Documents that wait for the end of a pause are sent when the provider is to be asked again.
#[tokio::test]
async fn a_pause_that_is_ended_ends_at_once() {
    let provider = Provider::start();
    let retry_after = Some(Duration::from_secs(18));
    provider.behave_times(1, Behaviour::TooManyRequests { retry_after });
    let settings = settings(&provider);
    let config = model("text-embedding-3-small", DIMENSIONS);
    let embedder = Embedder::new(&config, settings.clone()).unwrap();
    let started = Instant::now();
    let waiting = tokio::spawn({
        let embedder = embedder.clone();
        async move { embedder.embed(texts(1, "a")).await }
    });
    until(|| embedder.throttled_until().is_some()).await;
    ai_pipeline::embed::end_pause(&model("another", DIMENSIONS), &settings).unwrap();
    assert!(embedder.throttled_until().is_some(), "it is that of a model");
    ai_pipeline::embed::end_pause(&config, &settings).unwrap();
    in_time(waiting).await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
