//! What is known of a server and a key: pauses of models and of all, budgets, and who has requests
//! there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use tokio::sync::Notify;

use super::super::ledger::LedgerMoment;
use super::super::pace::Pace;
use super::super::{Allowance, Error, Refusal};
use super::seats::{Party, Seats};
use crate::fingerprint::Fingerprint;

/// What there is of one server and key.
#[derive(Debug)]
pub(super) struct ProviderAccount {
    pub state: Mutex<ModelStates>,
    /// Rung when a request ends.
    pub freed: Arc<Notify>,
}

#[derive(Debug)]
pub(super) struct ModelStates {
    pub seats: Seats,
    pub models: HashMap<Fingerprint, Model>,
    /// Until when the server wants to be left alone with this key.
    pub pause: LedgerMoment,
    /// What it said.
    pub refusal: Arc<Refusal>,
    /// When a request was last answered with vectors.
    pub accepted: Option<Instant>,
    /// What an administrator allows.
    pub requests: Option<Pace>,
    pub tokens: Option<Pace>,
    /// Until when that kept the last request waiting.
    pub limited: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Model {
    /// In lower case.
    pub name: String,
    /// Until when the server wants to be left alone with it.
    pub pause: LedgerMoment,
    /// What it said.
    pub refusal: Arc<Refusal>,
    /// When it last said so.
    pub refused: Option<Instant>,
    /// Who asks for it, and how many embedders each has.
    pub owners: HashMap<Option<Fingerprint>, usize>,
}

/// Why a server is left alone.
#[derive(Clone, Debug)]
pub(in crate::embed) struct Throttle {
    /// What it said.
    pub refusal: Arc<Refusal>,
    /// Until when.
    pub until: Instant,
}

impl From<Throttle> for Error {
    fn from(throttle: Throttle) -> Error {
        Error::Throttled {
            until: throttle.clock(),
            refusal: throttle.refusal,
        }
    }
}

impl Throttle {
    /// Until when, by the clock on the wall.
    pub fn clock(&self) -> SystemTime {
        SystemTime::now() + self.until.saturating_duration_since(Instant::now())
    }
}

impl ProviderAccount {
    pub fn new(allowance: Allowance, most: usize, mark: impl Fn(&str) -> LedgerMoment) -> ProviderAccount {
        // Who is allowed another number has a budget of its own: a change takes effect at once.
        let budget = |limit: Option<u32>, what: &str, of: fn(u32, LedgerMoment) -> Pace| {
            limit.map(|limit| of(limit, mark(&format!("{limit} {what} per minute"))))
        };
        ProviderAccount {
            state: Mutex::new(ModelStates {
                seats: Seats::new(most),
                models: HashMap::new(),
                pause: mark("pause"),
                refusal: Arc::new(Refusal::of_others()),
                accepted: None,
                requests: budget(allowance.requests_per_minute, "requests", Pace::of_requests),
                tokens: budget(allowance.tokens_per_minute, "tokens", Pace::of_tokens),
                limited: None,
            }),
            freed: Arc::default(),
        }
    }
}

impl ModelStates {
    pub fn throttle(&self, party: Party, now: Instant) -> Option<Throttle> {
        let throttle = |pause: &LedgerMoment, refusal: &Arc<Refusal>| {
            pause.after(now).map(|until| Throttle {
                refusal: Arc::clone(refusal),
                until,
            })
        };
        let model = self.models.get(&party.model);
        let of_model = model.and_then(|model| throttle(&model.pause, &model.refusal));
        let of_account = throttle(&self.pause, &self.refusal);
        of_model
            .into_iter()
            .chain(of_account)
            .max_by_key(|throttle| throttle.until)
    }
}
