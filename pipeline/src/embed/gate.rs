//! What all requests to one server have in common: how many may be under way, and until when it wants to be left alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::ledger::{Clock, Mark, Place};
use super::limiter::Limiter;
use super::pace::Pace;
use super::{Allowance, Error, Refusal};
use crate::memory::Fingerprint;
use crate::secret::Secret;

/// The gates of a process: one per server and key, however many models and vectorizers use it.
///
/// ```
/// use ai_pipeline::embed::Gates;
/// let gates = Gates::default();
/// assert!(gates.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Gates {
    gates: Arc<Mutex<HashMap<Server, Gate>>>,
    clock: Clock,
    /// Where other processes find what is known of an account.
    place: Option<fn(&Fingerprint) -> Place>,
}

impl Default for Gates {
    /// Of a process that knows of no other.
    fn default() -> Gates {
        Gates {
            gates: Arc::default(),
            clock: Clock::new(),
            place: None,
        }
    }
}

/// An address, and by whom it is asked, because providers limit accounts: a fingerprint of the key, which need not be here.
/// What it may be asked for is part of it, so that a change makes a gate of its own.
type Server = (String, Option<Fingerprint>, Allowance);

impl Gates {
    /// Of a process that shares pauses and budgets with others, at the places that `place` has for them in a
    /// [`Ledger`](super::Ledger). It is called by whoever makes an [`Embedder`](super::Embedder).
    pub fn shared(place: fn(&Fingerprint) -> Place) -> Gates {
        Gates {
            place: Some(place),
            ..Gates::default()
        }
    }

    /// Whether no server was asked yet.
    pub fn is_empty(&self) -> bool {
        lock(&self.gates).is_empty()
    }

    /// The gate of a server, with room for `most` requests at a time. It keeps the room that it was made with.
    pub(super) fn of(&self, address: &str, key: Option<&Secret>, allowance: Allowance, most: usize) -> Gate {
        let key = key.map(|key| Fingerprint::of(None, key.expose().as_bytes()));
        let server = (address.to_owned(), key, allowance);
        let mark = |what: &str| {
            let whose = key.as_ref().map_or(&[][..], Fingerprint::as_bytes);
            let account = Fingerprint::of(Some(&format!("{what} of {address}")), whose);
            Mark::new(self.clock, self.place.map(|place| place(&account)))
        };
        let gate = || Gate::new(allowance, most, mark);
        lock(&self.gates).entry(server).or_insert_with(gate).clone()
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
    /// Until when the server wants to be left alone.
    pause: Mark,
    /// What it said.
    refusal: Arc<Refusal>,
    /// What an administrator allows.
    requests: Option<Pace>,
    tokens: Option<Pace>,
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
    fn new(allowance: Allowance, most: usize, mark: impl Fn(&str) -> Mark) -> Gate {
        // Who is allowed another number has a budget of its own: a change takes effect at once.
        let budget = |limit: Option<u32>, what: &str, of: fn(u32, Mark) -> Pace| {
            limit.map(|limit| of(limit, mark(&format!("{limit} {what} per minute"))))
        };
        Gate {
            state: Arc::new(Mutex::new(State {
                limiter: Limiter::new(most),
                pause: mark("pause"),
                refusal: Arc::new(Refusal::of_others()),
                requests: budget(allowance.requests_per_minute, "requests", Pace::of_requests),
                tokens: budget(allowance.tokens_per_minute, "tokens", Pace::of_tokens),
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
            pause,
            requests,
            tokens,
            limited,
            ..
        } = &mut *lock(&self.state);
        if let Some(until) = pause.after(now) {
            return Entry::Paused(until);
        }
        if limiter.is_full() {
            return Entry::Full;
        }
        let spend = |budget: &mut Option<Pace>, need| budget.as_mut().map_or(Ok(()), |budget| budget.spend(now, need));
        let spent = spend(requests, 1.0).and_then(|()| {
            let spent = spend(tokens, of as f64);
            if let (Some(requests), Err(_)) = (requests, spent) {
                requests.give_back(1.0);
            }
            spent
        });
        if let Err(due) = spent {
            *limited = Some(due);
            return Entry::Paused(due);
        }
        limiter.enter();
        Entry::Open(Pass(self.clone()))
    }

    /// Ends when a request of anybody has ended after this call.
    pub fn freed(&self) -> OwnedNotified {
        Arc::clone(&self.freed).notified_owned()
    }

    /// Why nothing may be sent, if that is so.
    pub fn throttle(&self, now: Instant) -> Option<Throttle> {
        let state = lock(&self.state);
        state.pause.after(now).map(|until| Throttle {
            refusal: Arc::clone(&state.refusal),
            until,
        })
    }

    /// Lets requests through again, in all processes.
    pub fn end_pause(&self) {
        lock(&self.state).pause.update(|_| 0);
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

    /// Stops everything for as long as [`Limiter::throttled`] says, in all processes.
    pub fn throttled(&self, now: Instant, sent: Instant, told: Option<Duration>, jitter: f64, refusal: Arc<Refusal>) {
        let state = &mut *lock(&self.state);
        let until = state
            .pause
            .clock
            .moment(now + state.limiter.throttled(now, sent, told, jitter));
        state.pause.update(|moment| moment.max(until));
        state.refusal = refusal;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics between two states of what is inside.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::Ledger;
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
        gate.throttled(now, now, told, 0.5, refusal);
        let until = gate.throttle(now).expect("it is paused").until;
        assert_eq!((until - now).as_secs(), 1);
        assert!(
            matches!(gates.of("http://a", None, Allowance::default(), 4).look(now, 1), Entry::Paused(at) if at == until)
        );
        assert!(matches!(
            gates.of("http://a", None, Allowance::default(), 4).look(until, 1),
            Entry::Open(_)
        ));
    }

    thread_local! {
        /// What two processes share, as it were.
        static LEDGER: &'static Ledger = Box::leak(Box::default());
    }

    fn shared() -> Gates {
        Gates::shared(|account| LEDGER.with(|ledger| ledger.place(account)))
    }

    #[test]
    fn a_pause_is_for_all_processes_and_outlives_the_one_that_met_it() {
        let now = Instant::now();
        let (key, other) = (Secret::new("key".to_owned()), Secret::new("other".to_owned()));
        let limited = Allowance {
            requests_per_minute: Some(600),
            tokens_per_minute: None,
        };
        let gate = |key, allowance| shared().of("http://a", Some(key), allowance, 4);
        let before = gate(&key, Allowance::default());
        let told = |seconds| Some(Duration::from_secs(seconds));
        let refusal = Arc::new(Refusal::new(429, b"{}", None, &[]));
        gate(&key, Allowance::default()).throttled(now, now, told(30), 0.5, Arc::clone(&refusal));
        for gate in [&before, &gate(&key, Allowance::default()), &gate(&key, limited)] {
            let Entry::Paused(until) = gate.look(now, 1) else {
                panic!("all are paused")
            };
            assert_eq!((until - now + Duration::from_millis(1)).as_secs(), 30);
            assert!(gate.throttle(now).is_some_and(|throttle| throttle.until == until));
        }
        assert!(matches!(
            gate(&other, Allowance::default()).look(now, 1),
            Entry::Open(_)
        ));
        // Whoever wants it asked again ends it for all.
        gate(&key, Allowance::default()).end_pause();
        assert!(before.throttle(now).is_none() && gate(&key, limited).throttle(now).is_none());
        gate(&key, Allowance::default()).throttled(now, now, told(30), 0.5, Arc::clone(&refusal));
        // A shorter one ends no longer one.
        gate(&key, limited).throttled(now, now, told(1), 0.5, refusal);
        assert!(before.throttle(now + Duration::from_secs(29)).is_some());
        assert!(before.throttle(now + Duration::from_secs(31)).is_none());
        // What is known of a key does not show it.
        let seen = LEDGER.with(|ledger| format!("{ledger:?}"));
        assert!(!seen.contains("key"), "{seen}");
    }

    #[test]
    fn a_budget_is_that_of_all_processes_together() {
        let now = Instant::now();
        let gate = |requests_per_minute| {
            let allowance = Allowance {
                requests_per_minute: Some(requests_per_minute),
                tokens_per_minute: Some(100),
            };
            shared().of("http://a", None, allowance, 1000)
        };
        let gates = [gate(20), gate(20), gate(20)];
        let looks: Vec<Entry> = gates.iter().chain(&gates).map(|gate| gate.look(now, 1)).collect();
        let open = looks.iter().filter(|entry| matches!(entry, Entry::Open(_))).count();
        assert_eq!(open, 2, "a tenth of a minute");
        assert!(
            matches!(gate(20).look(now, 1), Entry::Paused(_)),
            "who comes later has no other"
        );
        // Another number is another budget of requests; that of tokens has eight left.
        assert!(matches!(gate(40).look(now, 4), Entry::Open(_)));
        assert!(matches!(gate(40).look(now, 1), Entry::Paused(_)), "less than half");
    }

    #[test]
    fn a_request_that_waits_for_tokens_costs_none() {
        let now = Instant::now();
        let allowance = Allowance {
            requests_per_minute: Some(20),
            tokens_per_minute: Some(100),
        };
        let gate = Gates::default().of("http://a", None, allowance, 4);
        assert!(matches!(gate.look(now, 6), Entry::Open(_)));
        for _ in 0..5 {
            assert!(matches!(gate.look(now, 1), Entry::Paused(_)));
        }
        // The token that was missing has come, and no other request.
        assert!(matches!(gate.look(now + Duration::from_secs(1), 1), Entry::Open(_)));
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
        assert_eq!((until - now).as_secs(), 3, "five tokens, of 85 in a minute");
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
