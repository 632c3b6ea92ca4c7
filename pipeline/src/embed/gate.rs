//! What all requests to one server have in common: how many may be under way, and until when it wants to be left alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::Refusal;
use super::limiter::Limiter;
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
type Server = (String, Option<Fingerprint>);

impl Gates {
    /// Whether no server was asked yet.
    pub fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// The gate of a server, with room for `most` requests at a time. It keeps the room that it was made with.
    pub(super) fn of(&self, address: &str, key: Option<&Secret>, most: usize) -> Gate {
        let key = key.map(|key| Fingerprint::of(None, key.expose().as_bytes()));
        let server = (address.to_owned(), key);
        lock(&self.0).entry(server).or_insert_with(|| Gate::new(most)).clone()
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
    fn new(most: usize) -> Gate {
        Gate {
            state: Arc::new(Mutex::new(State {
                limiter: Limiter::new(most),
                throttle: None,
            })),
            freed: Arc::default(),
        }
    }

    /// Whether one more request may be sent.
    pub fn look(&self, now: Instant) -> Entry {
        let State { limiter, .. } = &mut *lock(&self.state);
        if let Some(until) = limiter.paused_until(now) {
            return Entry::Paused(until);
        }
        if limiter.enter() {
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

    /// See [`Limiter::succeeded`].
    pub fn succeeded(&self) {
        lock(&self.state).limiter.succeeded();
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
        let State { limiter, throttle } = &mut *lock(&self.state);
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
        let first = gates.of("http://a", Some(&key), 1);
        let Entry::Open(pass) = first.look(now) else {
            panic!("an empty gate is open")
        };
        assert!(matches!(gates.of("http://a", Some(&key), 1).look(now), Entry::Full));
        assert!(matches!(
            gates.of("http://a", Some(&other), 1).look(now),
            Entry::Open(_)
        ));
        assert!(matches!(gates.of("http://b", Some(&key), 1).look(now), Entry::Open(_)));
        drop(pass);
        assert!(matches!(first.look(now), Entry::Open(_)));
    }

    #[test]
    fn a_pause_is_for_all_who_ask_the_server() {
        let gates = Gates::default();
        let now = Instant::now();
        let told = Some(Duration::from_secs(1));
        let refusal = Arc::new(Refusal::new(429, b"{}", None, &[]));
        let gate = gates.of("http://a", None, 4);
        let until = gate.throttled((now, SystemTime::now()), now, told, 0.5, refusal).until;
        assert!(matches!(gates.of("http://a", None, 4).look(now), Entry::Paused(at) if at == until));
        assert!(matches!(gates.of("http://a", None, 4).look(until), Entry::Open(_)));
    }

    #[tokio::test]
    async fn who_waits_is_called_when_somebody_else_leaves() {
        let gate = Gates::default().of("http://a", None, 1);
        let Entry::Open(pass) = gate.look(Instant::now()) else {
            panic!("an empty gate is open")
        };
        let mut freed = std::pin::pin!(gate.freed());
        freed.as_mut().enable();
        drop(pass);
        freed.await;
    }
}
