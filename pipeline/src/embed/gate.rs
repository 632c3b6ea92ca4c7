//! What all requests to one server have in common: how many may be under way, and until when it wants to be left alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::limiter::Limiter;
use super::quota::Budget;
use super::{Allowance, Refusal};
use crate::memory::Fingerprint;
use crate::secret::Secret;

/// The gates of a process: one per server and key, however many models and vectorizers use it.
///
/// ```
/// use ai_pipeline::embed::Gates;
/// let gates = Gates::default();
/// assert!(gates.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Gates(Arc<Mutex<HashMap<Server, Gate>>>);

/// An address, and by whom it is asked, because providers limit accounts: a fingerprint of the key, which need not be here.
/// What it may be asked for is part of it, so that a change makes a gate of its own.
type Server = (String, Option<Fingerprint>, Allowance);

impl Gates {
    /// Whether no server was asked yet.
    pub fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// The gate of a server, with room for `most` requests at a time. It keeps the room that it was made with.
    pub(super) fn of(&self, address: &str, key: Option<&Secret>, allowance: Allowance, most: usize) -> Gate {
        let key = key.map(|key| Fingerprint::of(None, key.expose().as_bytes()));
        let server = (address.to_owned(), key, allowance);
        let gate = || Gate::new(allowance, most, Instant::now());
        lock(&self.0).entry(server).or_insert_with(gate).clone()
    }
}

/// The gate of one server. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    state: Arc<Mutex<State>>,
    /// Rung when a request ends.
    freed: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    limiter: Limiter,
    throttle: Option<Throttle>,
    /// What an administrator allows.
    requests: Option<Budget>,
    tokens: Option<Budget>,
    /// Until when that kept the last request waiting.
    limited: Option<Instant>,
}

/// Why a server is left alone.
#[derive(Clone, Debug)]
pub(super) struct Throttle {
    /// What it said.
    pub refusal: Arc<Refusal>,
    /// Until when.
    pub until: Instant,
    /// The same by the clock on the wall.
    pub clock: SystemTime,
}

/// What a request meets at the gate.
#[derive(Debug)]
pub(super) enum Entry {
    /// It may go; the room is taken until the pass is dropped.
    Open(Pass),
    /// The server wants to be left alone until then.
    Paused(Instant),
    /// As many as may be are under way.
    Full,
}

/// Room for one request.
#[derive(Debug)]
pub(super) struct Pass(Gate);

impl Drop for Pass {
    fn drop(&mut self) {
        lock(&self.0.state).limiter.leave();
        self.0.freed.notify_waiters();
    }
}

impl Gate {
    fn new(allowance: Allowance, most: usize, now: Instant) -> Gate {
        let budget = |limit: Option<u32>| limit.map(|limit| Budget::per_minute(limit, now));
        Gate {
            state: Arc::new(Mutex::new(State {
                limiter: Limiter::new(most),
                throttle: None,
                requests: budget(allowance.requests_per_minute),
                tokens: budget(allowance.tokens_per_minute),
                limited: None,
            })),
            freed: Arc::default(),
        }
    }

    /// Tokens that a request should not exceed.
    pub fn greatest_tokens(&self) -> usize {
        let state = lock(&self.state);
        let greatest = state.tokens.as_ref().map(|budget| budget.capacity() as usize);
        greatest.unwrap_or(usize::MAX)
    }

    /// Whether as many requests are at the server as may be.
    pub fn is_full(&self) -> bool {
        lock(&self.state).limiter.is_full()
    }

    /// Whether one more request may be sent, of so many tokens.
    pub fn look(&self, now: Instant, of: usize) -> Entry {
        let State {
            limiter,
            requests,
            tokens,
            limited,
            ..
        } = &mut *lock(&self.state);
        if let Some(until) = limiter.paused_until(now) {
            return Entry::Paused(until);
        }
        let of = of as f64;
        let due = requests.as_ref().map(|budget| budget.due(now, 1.0));
        let due = due.max(tokens.as_ref().map(|budget| budget.due(now, of)));
        if let Some(until) = due.filter(|due| *due > now) {
            *limited = Some(until);
            return Entry::Paused(until);
        }
        if limiter.enter() {
            for (budget, spent) in [(requests, 1.0), (tokens, of)] {
                if let Some(budget) = budget {
                    budget.owe(now, spent);
                }
            }
            Entry::Open(Pass(self.clone()))
        } else {
            Entry::Full
        }
    }

    /// Ends when a request of anybody has ended after this call.
    pub fn freed(&self) -> OwnedNotified {
        Arc::clone(&self.freed).notified_owned()
    }

    /// Why nothing may be sent, if that is so.
    pub fn throttle(&self, now: Instant) -> Option<Throttle> {
        lock(&self.state)
            .throttle
            .clone()
            .filter(|throttle| throttle.until > now)
    }

    /// Until when an administrator's limits keep a request waiting, if they do.
    pub fn limited_until(&self, now: Instant) -> Option<Instant> {
        lock(&self.state).limited.filter(|until| *until > now)
    }

    /// See [`Limiter::succeeded`].
    pub fn succeeded(&self) {
        lock(&self.state).limiter.succeeded();
    }

    /// See [`Limiter::overloaded`].
    pub fn overloaded(&self, now: Instant, sent: Instant) {
        lock(&self.state).limiter.overloaded(now, sent);
    }

    /// See [`Limiter::is_stuck`].
    pub fn is_stuck(&self, now: Instant) -> bool {
        lock(&self.state).limiter.is_stuck(now)
    }

    /// See [`Limiter::throttled`]. Both clocks say `now`.
    pub fn throttled(
        &self,
        (now, clock): (Instant, SystemTime),
        sent: Instant,
        told: Option<Duration>,
        jitter: f64,
        refusal: Arc<Refusal>,
    ) -> Throttle {
        let State { limiter, throttle, .. } = &mut *lock(&self.state);
        let until = limiter.throttled(now, sent, told, jitter);
        let clock = clock + (until - now);
        throttle.insert(Throttle { refusal, until, clock }).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics between two states of what is inside.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_one_gate_and_an_account_of_its_own() {
        let gates = Gates::default();
        let now = Instant::now();
        let (key, other) = (Secret::new("key".to_owned()), Secret::new("other".to_owned()));
        let first = gates.of("http://a", Some(&key), Allowance::default(), 1);
        let Entry::Open(pass) = first.look(now, 1) else {
            panic!("an empty gate is open")
        };
        assert!(matches!(
            gates.of("http://a", Some(&key), Allowance::default(), 1).look(now, 1),
            Entry::Full
        ));
        assert!(matches!(
            gates.of("http://a", Some(&other), Allowance::default(), 1).look(now, 1),
            Entry::Open(_)
        ));
        assert!(matches!(
            gates.of("http://b", Some(&key), Allowance::default(), 1).look(now, 1),
            Entry::Open(_)
        ));
        drop(pass);
        assert!(matches!(first.look(now, 1), Entry::Open(_)));
    }

    #[test]
    fn a_pause_is_for_all_who_ask_the_server() {
        let gates = Gates::default();
        let now = Instant::now();
        let told = Some(Duration::from_secs(1));
        let refusal = Arc::new(Refusal::new(429, b"{}", None, &[]));
        let gate = gates.of("http://a", None, Allowance::default(), 4);
        let until = gate.throttled((now, SystemTime::now()), now, told, 0.5, refusal).until;
        assert!(
            matches!(gates.of("http://a", None, Allowance::default(), 4).look(now, 1), Entry::Paused(at) if at == until)
        );
        assert!(matches!(
            gates.of("http://a", None, Allowance::default(), 4).look(until, 1),
            Entry::Open(_)
        ));
    }

    #[test]
    fn what_an_administrator_allows_is_not_exceeded() {
        let gates = Gates::default();
        let now = Instant::now();
        let allowance = Allowance {
            requests_per_minute: Some(600),
            tokens_per_minute: Some(100),
        };
        let gate = gates.of("http://a", None, allowance, 1000);
        let now = now.max(Instant::now());
        assert_eq!(gate.greatest_tokens(), 10);
        assert!(matches!(gate.look(now, 10), Entry::Open(_)));
        let Entry::Paused(until) = gate.look(now, 3) else {
            panic!("the tokens are spent")
        };
        assert_eq!((until - now).as_secs(), 2, "three tokens, of ninety in a minute");
        assert_eq!(
            (gate.limited_until(now), gate.limited_until(until)),
            (Some(until), None)
        );
        assert!(matches!(gate.look(until, 3), Entry::Open(_)));
        assert!(matches!(
            gates.of("http://a", None, Allowance::default(), 4).look(now, 1000),
            Entry::Open(_)
        ));
    }

    #[tokio::test]
    async fn who_waits_is_called_when_somebody_else_leaves() {
        let gate = Gates::default().of("http://a", None, Allowance::default(), 1);
        let Entry::Open(pass) = gate.look(Instant::now(), 1) else {
            panic!("an empty gate is open")
        };
        let mut freed = std::pin::pin!(gate.freed());
        freed.as_mut().enable();
        drop(pass);
        freed.await;
    }
}
