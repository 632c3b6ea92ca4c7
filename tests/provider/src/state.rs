//! What the server remembers between requests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::Options;
use crate::api::Api;
use crate::behaviour::Behaviour;
use crate::limits::{Limits, RateLimiter, Verdict};
use crate::vectors::{SameVector, Vocabulary};

/// What was served since the start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Embedding requests that arrived.
    pub requests: u64,
    /// Inputs that were answered with a vector: what a provider would charge for.
    pub inputs: u64,
    /// Those of them whose answer was of no use to anybody.
    pub spoilt_inputs: u64,
    /// Tokens of those inputs, at four bytes each.
    pub tokens: u64,
    /// Requests that were not answered with 200, or whose answer was cut.
    pub failed_requests: u64,
    /// Requests being served right now.
    pub in_flight: u64,
    /// Most requests ever served at a time.
    pub max_in_flight: u64,
}

/// An embedding request as it arrived.
#[derive(Clone, Debug)]
pub struct SeenRequest {
    /// When its body was complete.
    pub at: Instant,
    /// The API that it came by.
    pub api: Api,
    /// Path and query.
    pub path: String,
    /// The body.
    pub body: Value,
    /// Bytes of the body.
    pub bytes: usize,
    /// The bearer token, or what the API has in its place.
    pub api_key: Option<String>,
    /// `model`.
    pub model: String,
    /// `dimensions`, where it was sent.
    pub dimensions: Option<usize>,
    /// `user`, where it was sent.
    pub user: Option<String>,
    /// `encoding_format`, where it was sent.
    pub encoding_format: Option<String>,
    /// The inputs.
    pub texts: Vec<String>,
}

pub(crate) struct State {
    pub latency: Duration,
    pub vocabulary: Vocabulary,
    pub same_vector: Option<SameVector>,
    forget_requests: bool,
    changing: Mutex<Changing>,
}

struct Changing {
    steady: Behaviour,
    next: VecDeque<(usize, Behaviour)>,
    key: Option<String>,
    limiter: RateLimiter,
    counts: Counts,
    seen: Vec<SeenRequest>,
}

impl State {
    pub fn new(options: Options) -> State {
        State {
            latency: options.latency,
            vocabulary: options.vocabulary,
            same_vector: options.same_vector.then(SameVector::default),
            forget_requests: options.forget_requests,
            changing: Mutex::new(Changing {
                steady: Behaviour::Well,
                next: VecDeque::new(),
                key: options.require_key,
                limiter: RateLimiter::new(options.limits),
                counts: Counts::default(),
                seen: Vec::new(),
            }),
        }
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().expect("no code panics while it holds this lock")
    }

    pub fn behave(&self, behaviour: Behaviour, times: Option<usize>) {
        let mut changing = self.changing();
        match times {
            Some(n) => changing.next.push_back((n, behaviour)),
            None => {
                changing.next.clear();
                changing.steady = behaviour;
            }
        }
    }

    pub fn require_key(&self, key: Option<String>) {
        self.changing().key = key;
    }

    pub fn limit(&self, limits: Limits) {
        self.changing().limiter = RateLimiter::new(limits);
    }

    /// Takes a request of so many tokens out of the budgets, if it fits.
    pub fn charge(&self, tokens: usize) -> Verdict {
        self.changing().limiter.charge(Instant::now(), tokens)
    }

    pub fn admits(&self, key: Option<&str>) -> bool {
        let changing = self.changing();
        changing.key.is_none() || changing.key.as_deref() == key
    }

    pub fn counts(&self) -> Counts {
        self.changing().counts
    }

    pub fn seen(&self) -> Vec<SeenRequest> {
        self.changing().seen.clone()
    }

    pub fn reset(&self) {
        let mut changing = self.changing();
        changing.steady = Behaviour::Well;
        changing.next.clear();
        changing.seen.clear();
        let in_flight = changing.counts.in_flight;
        changing.counts = Counts {
            in_flight,
            max_in_flight: in_flight,
            ..Counts::default()
        };
    }

    /// Counts a request in and says what it meets; the guard counts it out.
    pub fn arrive(self: &Arc<Self>, request: impl FnOnce() -> SeenRequest) -> (Behaviour, InFlight) {
        let seen = (!self.forget_requests).then(request);
        let mut changing = self.changing();
        changing.seen.extend(seen);
        changing.counts.requests += 1;
        changing.counts.in_flight += 1;
        changing.counts.max_in_flight = changing.counts.max_in_flight.max(changing.counts.in_flight);
        while changing.next.front().is_some_and(|(left, _)| *left == 0) {
            changing.next.pop_front();
        }
        let behaviour = match changing.next.front_mut() {
            Some((left, behaviour)) => {
                *left -= 1;
                behaviour.clone()
            }
            None => changing.steady.clone(),
        };
        (
            behaviour,
            InFlight {
                state: self.clone(),
                served: None,
                spoilt: false,
            },
        )
    }
}

/// A request being served. Dropped without [`InFlight::served`] it counts as failed: that is what a client that went
/// away, or a connection that was cut, looks like from here.
pub(crate) struct InFlight {
    state: Arc<State>,
    served: Option<(u64, u64)>,
    spoilt: bool,
}

impl InFlight {
    pub fn served(&mut self, inputs: u64, tokens: u64) {
        self.served = Some((inputs, tokens));
    }

    /// What was served is of no use to anybody.
    pub fn spoilt(&mut self) {
        self.spoilt = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut changing = self.state.changing();
        changing.counts.in_flight -= 1;
        match self.served {
            Some((inputs, tokens)) => {
                changing.counts.inputs += inputs;
                changing.counts.spoilt_inputs += if self.spoilt { inputs } else { 0 };
                changing.counts.tokens += tokens;
            }
            None => changing.counts.failed_requests += 1,
        }
    }
}
