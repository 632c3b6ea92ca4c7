//! The batcher driven by hand: no pause is waited for, the time is what the test says.

use provider::{Behaviour, Provider};

use super::super::client::Client;
use super::super::gate::Asker;
use super::*;
use crate::config;
use crate::embed::{Allowance, EmbedSettings, Gates};

type Answered = oneshot::Receiver<Result<Embedded, Incomplete>>;

/// Long enough for an answer on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_secs(40);
const THROTTLED: Behaviour = Behaviour::TooManyRequests {
    retry_after: Some(PAUSE),
};

/// A batcher that asks for two texts at a time, in so many requests.
fn batcher(provider: &Provider, most: usize) -> Batcher {
    batcher_that_may(provider, most, Allowance::default())
}

fn batcher_that_may(provider: &Provider, most: usize, allowance: Allowance) -> Batcher {
    let config = config::Embedding::Openai {
        server: None,
        model: "text-embedding-3-small".to_owned(),
        dimensions: 8,
        user: None,
        api_key_name: "OPENAI_API_KEY".to_owned(),
        base_url: None,
    };
    let settings = EmbedSettings {
        base_url: provider.base_url(),
        api_version: None,
        api_key: None,
        api_key_place: None,
        timeout: TIMEOUT,
        max_requests_in_flight: most,
        owner: None,
        allowance,
        headers: Default::default(),
        gates: Gates::default(),
    };
    let client = Client::new(&config, &settings, false).unwrap();
    let asker = Asker {
        model: "model",
        owner: None,
    };
    let gate = settings.gates.of("server", None, allowance, most, asker);
    let mut batcher = Batcher::new(Arc::new(client), gate);
    take(&mut batcher, 2);
    batcher
}

/// Has no request hold more texts than this.
fn take(batcher: &mut Batcher, inputs: usize) {
    let tokens = batcher.most.get().tokens;
    batcher.most = Most::new(Size {
        inputs,
        tokens,
        bytes: REQUEST_BYTES,
    });
}

/// The inputs of the requests in flight, ascending.
fn in_flight(batcher: &Batcher) -> Vec<usize> {
    let requests = batcher.in_flight.values();
    let mut sizes: Vec<usize> = requests.map(|request| request.question.size().inputs).collect();
    sizes.sort_unstable();
    sizes
}

fn long_text() -> String {
    "word ".repeat(800)
}

fn admit(batcher: &mut Batcher, name: &str, count: usize) -> Answered {
    let (reply, answer) = oneshot::channel();
    batcher.admit(EmbedJob {
        texts: (0..count).map(|number| format!("{name} number{number}")).collect(),
        cut: Vec::new(),
        can_wait: false,
        reply,
    });
    answer
}

/// Waits for one answer and sends what may be sent then, as if all of this was so much later.
async fn answered(batcher: &mut Batcher, later: Duration) {
    let next = tokio::time::timeout(Duration::from_secs(20), batcher.requests.join_next_with_id());
    let finished = next
        .await
        .expect("the provider answers")
        .expect("a request is in flight");
    batcher.finish(finished);
    batcher.dispatch(Instant::now() + later);
}

#[tokio::test]
async fn vectors_that_are_there_wait_for_the_end_of_a_pause() {
    let provider = Provider::start();
    provider.behave_times(1, Behaviour::Well);
    provider.behave_times(1, THROTTLED);
    let mut batcher = batcher(&provider, 1);
    let mut paid = admit(&mut batcher, "paid", 6);
    let mut unpaid = admit(&mut batcher, "unpaid", 2);
    batcher.dispatch(Instant::now());
    answered(&mut batcher, Duration::ZERO).await;
    answered(&mut batcher, Duration::ZERO).await;
    assert!(matches!(
        unpaid.try_recv(),
        Ok(Err(Incomplete {
            error: Error::Throttled { .. },
            ..
        }))
    ));
    assert_eq!((batcher.queue.len(), batcher.queued.inputs), (4, 4));
    assert!(paid.try_recv().is_err(), "it waits");
    batcher.dispatch(Instant::now() + PAUSE);
    answered(&mut batcher, PAUSE).await;
    answered(&mut batcher, PAUSE).await;
    assert_eq!(paid.try_recv().unwrap().unwrap().vectors.len(), 6);
    assert_eq!(provider.counts().inputs, 6, "each is paid for once");
}

#[tokio::test]
async fn inputs_in_flight_are_not_paid_for_in_vain() {
    let provider = Provider::start();
    provider.behave_times(1, THROTTLED);
    provider.behave_times(1, Behaviour::Slow(Duration::from_millis(200)));
    let mut batcher = batcher(&provider, 2);
    let mut answer = admit(&mut batcher, "a", 4);
    batcher.dispatch(Instant::now());
    answered(&mut batcher, Duration::ZERO).await;
    answered(&mut batcher, Duration::ZERO).await;
    assert!(answer.try_recv().is_err(), "it waits");
    batcher.dispatch(Instant::now() + PAUSE);
    answered(&mut batcher, PAUSE).await;
    assert_eq!(answer.try_recv().unwrap().unwrap().vectors.len(), 4);
    assert_eq!(provider.counts().inputs, 4, "each is paid for once");
}

#[tokio::test]
async fn a_burst_of_refusals_gives_back_who_has_nothing_yet() {
    let provider = Provider::start();
    provider.behave(THROTTLED);
    let mut batcher = batcher(&provider, 2);
    let mut answer = admit(&mut batcher, "a", 10);
    batcher.dispatch(Instant::now());
    answered(&mut batcher, Duration::ZERO).await;
    assert!(answer.try_recv().is_err(), "the other request may be answered yet");
    answered(&mut batcher, Duration::ZERO).await;
    assert!(matches!(
        answer.try_recv(),
        Ok(Err(Incomplete {
            error: Error::Throttled { .. },
            ..
        }))
    ));
    assert!(batcher.documents.is_empty() && batcher.queue.is_empty());
}

#[tokio::test]
async fn a_request_is_charged_for_what_it_holds() {
    let provider = Provider::start();
    // 200 tokens may be spent at once: twice as much as all the texts have.
    let allowance = Allowance {
        requests_per_minute: None,
        tokens_per_minute: Some(2000),
    };
    let mut batcher = batcher_that_may(&provider, 8, allowance);
    let _answer = admit(&mut batcher, "a", 20);
    assert!(batcher.queued.tokens <= 100, "{:?}", batcher.queued);
    batcher.dispatch(Instant::now());
    assert_eq!(batcher.in_flight.len(), 8);
}

#[tokio::test]
async fn what_nobody_wants_any_more_is_not_charged() {
    let provider = Provider::start();
    // One request may be sent at once.
    let allowance = Allowance {
        requests_per_minute: Some(10),
        tokens_per_minute: None,
    };
    let mut batcher = batcher_that_may(&provider, 8, allowance);
    drop(admit(&mut batcher, "unwanted", 2));
    batcher.dispatch(Instant::now());
    let _answer = admit(&mut batcher, "wanted", 2);
    batcher.dispatch(Instant::now());
    assert_eq!(batcher.in_flight.len(), 1);
}

#[tokio::test]
async fn a_server_that_is_too_slow_is_asked_for_less_and_for_more_again() {
    let provider = Provider::start();
    provider.behave_times(2, Behaviour::Hang);
    let mut batcher = batcher(&provider, 2);
    take(&mut batcher, 8);
    let mut answer = admit(&mut batcher, &long_text(), 16);
    batcher.dispatch(Instant::now());
    assert_eq!(in_flight(&batcher), [8, 8]);
    answered(&mut batcher, Duration::ZERO).await;
    answered(&mut batcher, Duration::ZERO).await;
    assert!(matches!(
        answer.try_recv(),
        Ok(Err(Incomplete {
            error: Error::TimedOut { .. },
            ..
        }))
    ));
    let mut answer = admit(&mut batcher, &long_text(), 64);
    batcher.dispatch(Instant::now());
    assert_eq!(
        in_flight(&batcher),
        [4],
        "half of it, half as often; a burst counts once"
    );
    while !batcher.in_flight.is_empty() {
        answered(&mut batcher, Duration::ZERO).await;
    }
    assert!(answer.try_recv().unwrap().is_ok());
    let largest = provider.seen().iter().skip(2).map(|request| request.texts.len()).max();
    assert!((5..=8).contains(&largest.unwrap()), "{largest:?}");
    assert_eq!(provider.counts().max_in_flight, 2);
}

#[tokio::test]
async fn a_server_that_fails_is_asked_less_at_a_time() {
    let provider = Provider::start();
    for behaviour in [Behaviour::ServerError, Behaviour::Cut] {
        provider.behave_times(4, behaviour);
        let mut batcher = batcher(&provider, 4);
        drop(admit(&mut batcher, "a", 8));
        let _answer = admit(&mut batcher, "a", 8);
        batcher.dispatch(Instant::now());
        assert_eq!(in_flight(&batcher), [2; 4]);
        for _ in 0..4 {
            answered(&mut batcher, Duration::ZERO).await;
        }
        let _answer = admit(&mut batcher, "b", 16);
        batcher.dispatch(Instant::now());
        assert_eq!(in_flight(&batcher), [2; 2], "half, once for all four");
    }
}

#[tokio::test]
async fn a_larger_budget_makes_larger_requests_again() {
    let provider = Provider::start();
    let mut batcher = batcher(&provider, 1);
    take(&mut batcher, 8);
    let quota = |tokens: &'static str| {
        let headers = ["limit", "remaining", "reset"].map(|what| {
            let name: reqwest::header::HeaderName = format!("x-ratelimit-{what}-tokens").parse().unwrap();
            let value = if what == "reset" { "0s" } else { tokens };
            (name, reqwest::header::HeaderValue::from_static(value))
        });
        Quota::new(&headers.into_iter().collect())
    };
    for (tokens, inputs) in [("4500", 2), ("100000", 8)] {
        batcher.learn(quota(tokens));
        let answer = admit(&mut batcher, &long_text(), 8);
        batcher.dispatch(Instant::now());
        assert_eq!(in_flight(&batcher), [inputs], "{tokens}");
        drop(answer);
        answered(&mut batcher, Duration::ZERO).await;
        assert!(batcher.in_flight.is_empty());
    }
}

#[tokio::test]
async fn a_request_that_is_alone_and_refused_for_a_minute_is_too_large() {
    let provider = Provider::start();
    provider.behave(THROTTLED);
    for (seconds, inputs) in [(30, 8), (60, 4)] {
        let mut batcher = batcher(&provider, 1);
        take(&mut batcher, 8);
        let since = Instant::now() - Duration::from_secs(seconds);
        let refusal = Arc::new(Refusal::new(429, b"{}", None, &[]));
        batcher.gate.throttled(since, since, None, 0.5, refusal);
        let _answer = admit(&mut batcher, &long_text(), 8);
        batcher.dispatch(Instant::now());
        assert_eq!(in_flight(&batcher), [8]);
        answered(&mut batcher, PAUSE).await;
        assert_eq!(in_flight(&batcher), [inputs], "{seconds}");
    }
}

/// Also of those that are sent because others were refused. As many as the batcher says that it would send by
/// a clock of the test, and the provider has seen each.
#[tokio::test]
async fn no_minute_has_more_requests_than_an_administrator_allows() {
    const MINUTE: Duration = Duration::from_secs(60);
    const ALLOWED: usize = 30;
    let provider = Provider::start();
    provider.behave(Behaviour::RejectInput("bad".to_owned()));
    let allowance = Allowance {
        requests_per_minute: Some(ALLOWED as u32),
        tokens_per_minute: None,
    };
    let mut batcher = batcher_that_may(&provider, 8, allowance);
    let _answers: Vec<Answered> = (0..100)
        .map(|number| admit(&mut batcher, if number % 10 == 0 { "bad" } else { "good" }, 2))
        .collect();
    let start = Instant::now();
    let (mut now, mut sent) = (start, Vec::new());
    while !batcher.documents.is_empty() {
        let wake = batcher.dispatch(now);
        sent.extend(std::iter::repeat_n(now, batcher.in_flight.len()));
        while let Some(finished) = batcher.requests.join_next_with_id().await {
            batcher.finish(finished);
        }
        now = wake.unwrap_or(now).max(now + Duration::from_millis(1));
    }
    assert_eq!(provider.counts().requests, sent.len() as u64);
    for first in &sent {
        let minute = sent.iter().filter(|at| *at >= first && **at < *first + MINUTE).count();
        assert!(minute <= ALLOWED, "{minute} in a minute");
    }
    let minutes = (now - start).as_secs_f64() / MINUTE.as_secs_f64();
    let expected = sent.len() as f64 / ALLOWED as f64;
    assert!(
        sent.len() > 3 * ALLOWED && minutes < 1.25 * expected,
        "{minutes} minutes for {}",
        sent.len()
    );
}

/// A connection that was closed at once is tried again, and a refusal asked about, when there is room for one more.
#[tokio::test]
async fn what_follows_a_request_goes_through_the_gate() {
    let provider = Provider::start();
    for (behaviour, follow) in [(Behaviour::Close, 1), (Behaviour::RejectInput("a".to_owned()), 1)] {
        provider.reset();
        provider.behave_times(2, behaviour.clone());
        let allowance = Allowance {
            requests_per_minute: Some(10),
            tokens_per_minute: None,
        };
        let mut batcher = batcher_that_may(&provider, 8, allowance);
        let start = Instant::now();
        let _answer = admit(&mut batcher, "a", 1);
        batcher.dispatch(start);
        answered(&mut batcher, Duration::ZERO).await;
        let asked = provider.counts().requests;
        assert!(
            batcher.in_flight.is_empty(),
            "{behaviour:?}: nothing more in this moment"
        );
        batcher.dispatch(start + Duration::from_secs(60));
        assert_eq!(batcher.in_flight.len(), follow, "{behaviour:?}");
        answered(&mut batcher, Duration::ZERO).await;
        assert_eq!(provider.counts().requests, asked + 1, "{behaviour:?}");
    }
}

#[tokio::test]
async fn what_is_paid_for_is_handed_over_with_a_failure() {
    let provider = Provider::start();
    provider.behave_times(1, Behaviour::ServerError);
    provider.behave_times(1, Behaviour::Slow(Duration::from_millis(200)));
    let mut batcher = batcher(&provider, 2);
    let mut answer = admit(&mut batcher, "a", 6);
    batcher.dispatch(Instant::now());
    answered(&mut batcher, Duration::ZERO).await;
    assert!(answer.try_recv().is_err(), "the other request is waited for");
    answered(&mut batcher, Duration::ZERO).await;
    let Ok(Err(Incomplete { error, vectors })) = answer.try_recv() else {
        panic!("it has failed");
    };
    assert!(matches!(error, Error::Server(_)), "{error}");
    // The one that failed was the first or the second to be sent.
    let there: Vec<usize> = vectors.iter().map(|(index, _)| *index).collect();
    assert!(there == [0, 1] || there == [2, 3], "{there:?}");
    assert_eq!(provider.counts().requests, 2, "the rest was not sent any more");
    assert!(batcher.documents.is_empty() && batcher.queue.is_empty());
}
