//! An embedder that asks nobody: what it makes vectors with is in the process.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;

use super::backend::{Backend, Request, RequestLimits, RequestOutcome, Trouble};
use super::quota::Quota;
use super::*;

/// Counts vowels. Takes texts of no more than so many bytes, and none that is "bad".
#[derive(Default)]
struct Vowels {
    requests: Mutex<Vec<usize>>,
    failures: AtomicUsize,
}

const VOWELS: [char; 3] = ['a', 'e', 'i'];
const GREATEST_TEXT: usize = 100;

fn vector(text: &str) -> Vec<f32> {
    let count = |vowel| text.chars().filter(|letter| *letter == vowel).count() as f32;
    VOWELS.map(count).to_vec()
}

impl Vowels {
    fn answer(&self, request: Request<'_>) -> RequestOutcome {
        self.requests.lock().unwrap().push(request.texts.len());
        let refused = |status| Arc::new(Refusal::new(status, b"{}", None, request.texts));
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.fetch_sub(1, Ordering::Relaxed);
            return Err(Trouble::Lost(Error::Stopped));
        }
        let is_long = |text: &&str| text.len() > GREATEST_TEXT;
        if request.texts.contains(&"bad") || !request.cut && request.texts.iter().any(is_long) {
            return Err(Trouble::Rejected(refused(400)));
        }
        let beginning = |text: &&str| vector(&text[..text.len().min(GREATEST_TEXT)]);
        Ok((request.texts.iter().map(beginning).collect(), Quota::default()))
    }
}

impl Backend for Vowels {
    fn limits(&self) -> RequestLimits {
        RequestLimits {
            inputs: 4,
            tokens: RequestLimits::ANY_TOKENS,
        }
    }

    fn dimensions(&self) -> usize {
        VOWELS.len()
    }

    fn embed<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, RequestOutcome> {
        Box::pin(std::future::ready(self.answer(request)))
    }

    fn can_cut(&self) -> bool {
        true
    }

    fn hint_of_all(&self) -> String {
        "count by hand".to_owned()
    }
}

fn embedder() -> (Arc<Vowels>, Embedder) {
    let asker = gate::Asker {
        model: "vowels",
        owner: None,
    };
    let gate = Gates::default().of("in this process", None, Allowance::default(), 2, asker);
    let backend = Arc::new(Vowels::default());
    let embedder = Embedder::over(Arc::clone(&backend) as Arc<dyn Backend>, gate, None).unwrap();
    (backend, embedder)
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn what_embeds_need_not_be_a_server() {
    let (backend, embedder) = embedder();
    let texts: Vec<String> = (0..9).map(|number| "tea".repeat(number + 1)).collect();
    let embedded = embedder.embed(texts.clone()).await.unwrap();
    let expected: Vec<Vec<f32>> = texts.iter().map(|text| vector(text)).collect();
    assert_eq!(embedded.vectors, expected);
    let mut requests = backend.requests.lock().unwrap().clone();
    requests.sort_unstable();
    assert_eq!(requests, [1, 4, 4], "no request holds more than it may");
}

#[tokio::test]
async fn what_it_refuses_is_found_and_harms_no_other() {
    let (_, embedder) = embedder();
    let good = embedder.embed(owned(&["tea", "leaves"]));
    let bad = embedder.embed(owned(&["bad"]));
    let (good, bad) = tokio::join!(good, bad);
    assert_eq!(good.unwrap().vectors, [vector("tea"), vector("leaves")]);
    let error = bad.unwrap_err();
    assert!(matches!(error, Error::Rejected { alone: true, .. }), "{error}");
    assert_eq!(error.class(), Class::Permanent);
}

#[tokio::test]
async fn what_is_too_long_for_it_is_cut_and_what_it_loses_is_sent_again() {
    let (backend, embedder) = embedder();
    backend.failures.store(1, Ordering::Relaxed);
    let long = "a".repeat(GREATEST_TEXT + 20);
    let embedded = embedder.embed(vec!["tea".to_owned(), long]).await.unwrap();
    assert_eq!(embedded.cut, [1]);
    assert_eq!(embedded.vectors, [vector("tea"), vec![GREATEST_TEXT as f32, 0.0, 0.0]]);
}
