//! What all requests to one server have in common: how many may be under way, and until when it wants to be left alone.
//!
//! Providers limit models, so a pause is that of one model with one key, whoever asks for it; one that the
//! server calls that of its account is for all models. Where several models of one owner are refused
//! together, the owner's other models wait for a while as well: nobody else's, or one owner could stop the
//! others with models that no credit has a quota for.
//!
//! What is under way is limited for all together. Who fails, is slow or hangs has fewer requests under way,
//! and nobody else; and the last room is for those who have none yet, by turns, so that whatever hangs leaves
//! some to others.

mod seats;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::ledger::{Clock, Kind, Mark, Place};
use super::pace::Pace;
use super::{Allowance, Error, Refusal};
use crate::fingerprint::Fingerprint;
use crate::secret::Secret;
use seats::{Party, Seats};

/// Other models of an owner are left alone for so long at most when two have been refused: that they share a
/// limit is a guess.
const GREATEST_GUESS: Duration = Duration::from_secs(60);

/// The gates of a process: one per server and key, however many models and vectorizers use it.
///
/// ```
/// use ai_pipeline::embed::Gates;
/// let gates = Gates::default();
/// assert!(gates.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Gates {
    servers: Arc<Mutex<HashMap<Server, Arc<Account>>>>,
    clock: Clock,
    /// Where other processes find what is known of an account.
    place: Option<fn(Kind, &Fingerprint) -> Place>,
}

impl Default for Gates {
    /// Of a process that knows of no other.
    fn default() -> Gates {
        Gates {
            servers: Arc::default(),
            clock: Clock::new(),
            place: None,
        }
    }
}

/// An address, and by whom it is asked, because providers limit accounts: a fingerprint of the key, which
/// need not be here. What it may be asked for is part of it, so that a change makes a gate of its own.
type Server = (String, Option<Fingerprint>, Allowance);

/// What is asked for at a server, and by whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    pub model: &'a str,
    /// `None` where there is only one.
    pub owner: Option<Fingerprint>,
}

impl Gates {
    /// Of a process that shares pauses and budgets with others, at the places that `place` has for them in a
    /// [`Ledger`](super::Ledger). It is called by whoever makes an [`Embedder`](super::Embedder).
    pub fn shared(place: fn(Kind, &Fingerprint) -> Place) -> Gates {
        Gates {
            place: Some(place),
            ..Gates::default()
        }
    }

    /// Whether no server was asked yet.
    pub fn is_empty(&self) -> bool {
        lock(&self.servers).is_empty()
    }

    /// The gate of a server, with room for `most` requests at a time, for one who asks. It keeps the room
    /// that it was made with.
    pub(super) fn of(
        &self,
        address: &str,
        key: Option<&Secret>,
        allowance: Allowance,
        most: usize,
        asker: Asker<'_>,
    ) -> Gate {
        let key = key.map(|key| Fingerprint::of(None, key.expose().as_bytes()));
        let server = (address.to_owned(), key, allowance);
        let mark = |kind, what: &str| {
            let whose = key.as_ref().map_or(&[][..], Fingerprint::as_bytes);
            let account = Fingerprint::of(Some(&format!("{what} of {address}")), whose);
            Mark::new(self.clock, self.place.map(|place| place(kind, &account)))
        };
        let account = || Arc::new(Account::new(allowance, most, |what| mark(Kind::Account, what)));
        let account = Arc::clone(lock(&self.servers).entry(server).or_insert_with(account));
        let name = asker.model.to_owned();
        let party = Party {
            owner: asker.owner,
            model: Fingerprint::of(None, name.as_bytes()),
        };
        // Made before the lock is taken: an allocation that fails drops the seat, which takes the lock.
        let seat = Arc::new(Seat {
            account: Arc::clone(&account),
            party,
            is_taken: AtomicBool::new(false),
        });
        let State { seats, models, .. } = &mut *lock(&account.state);
        let model = models.entry(party.model).or_insert_with(|| Model {
            name: name.to_lowercase(),
            pause: mark(Kind::Model, &format!("pause for {name}")),
            refusal: Arc::new(Refusal::of_others()),
            refused: None,
            owners: HashMap::new(),
        });
        let seats_of_owner = model.owners.entry(party.owner).or_default();
        seats.take(party);
        *seats_of_owner += 1;
        seat.is_taken.store(true, Ordering::Release);
        Gate { seat }
    }
}

/// What there is of one server and key.
#[derive(Debug)]
struct Account {
    state: Mutex<State>,
    /// Rung when a request ends.
    freed: Arc<Notify>,
}

/// The gate of one server, for one who asks. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    seat: Arc<Seat>,
}

#[derive(Debug)]
struct Seat {
    account: Arc<Account>,
    party: Party,
    /// What is below counts it.
    is_taken: AtomicBool,
}

impl Drop for Seat {
    /// What is known of a model goes with the last who asks for it, but for what is in the ledger.
    fn drop(&mut self) {
        if !*self.is_taken.get_mut() {
            return;
        }
        let State { seats, models, .. } = &mut *lock(&self.account.state);
        seats.leave(self.party);
        if let Some(model) = models.get_mut(&self.party.model) {
            if let Some(seats) = model.owners.get_mut(&self.party.owner) {
                *seats -= 1;
                if *seats == 0 {
                    model.owners.remove(&self.party.owner);
                }
            }
            if model.owners.is_empty() {
                models.remove(&self.party.model);
            }
        }
        // It may have been its turn.
        self.account.freed.notify_waiters();
    }
}

#[derive(Debug)]
struct State {
    seats: Seats,
    models: HashMap<Fingerprint, Model>,
    /// Until when the server wants to be left alone with this key.
    pause: Mark,
    /// What it said.
    refusal: Arc<Refusal>,
    /// When a request was last answered with vectors.
    accepted: Option<Instant>,
    /// What an administrator allows.
    requests: Option<Pace>,
    tokens: Option<Pace>,
    /// Until when that kept the last request waiting.
    limited: Option<Instant>,
}

#[derive(Debug)]
struct Model {
    /// In lower case.
    name: String,
    /// Until when the server wants to be left alone with it.
    pause: Mark,
    /// What it said.
    refusal: Arc<Refusal>,
    /// When it last said so.
    refused: Option<Instant>,
    /// Who asks for it, and how many embedders each has.
    owners: HashMap<Option<Fingerprint>, usize>,
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
    /// As many as may be are under way, or it is another's turn.
    Full,
}

/// Room for one request.
#[derive(Debug)]
pub(super) struct Pass(Gate);

impl Drop for Pass {
    fn drop(&mut self) {
        let Seat { account, party, .. } = &*self.0.seat;
        lock(&account.state).seats.end(*party);
        account.freed.notify_waiters();
    }
}

impl Account {
    fn new(allowance: Allowance, most: usize, mark: impl Fn(&str) -> Mark) -> Account {
        // Who is allowed another number has a budget of its own: a change takes effect at once.
        let budget = |limit: Option<u32>, what: &str, of: fn(u32, Mark) -> Pace| {
            limit.map(|limit| of(limit, mark(&format!("{limit} {what} per minute"))))
        };
        Account {
            state: Mutex::new(State {
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

impl State {
    fn throttle(&self, party: Party, now: Instant) -> Option<Throttle> {
        let throttle = |pause: &Mark, refusal: &Arc<Refusal>| {
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

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.seat.account.state)
    }

    /// Tokens that a request should not exceed.
    pub fn greatest_tokens(&self) -> usize {
        let state = self.state();
        let greatest = state.tokens.as_ref().map(|budget| budget.capacity() as usize);
        greatest.unwrap_or(usize::MAX)
    }

    /// Whether no further request may be at the server. Who is told so gets a turn.
    pub fn is_full(&self) -> bool {
        !self.state().seats.has_room(self.seat.party)
    }

    /// There is nothing to send: the turn is another's.
    pub fn need_not_wait(&self) {
        if self.state().seats.need_not_wait(self.seat.party) {
            self.seat.account.freed.notify_waiters();
        }
    }

    /// Whether one more request may be sent, of so many tokens.
    pub fn look(&self, now: Instant, of: usize) -> Entry {
        let party = self.seat.party;
        let state = &mut *self.state();
        if let Some(throttle) = state.throttle(party, now) {
            return Entry::Paused(throttle.until);
        }
        let State {
            seats,
            requests,
            tokens,
            limited,
            ..
        } = state;
        if !seats.has_room(party) {
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
        seats.begin(party);
        Entry::Open(Pass(self.clone()))
    }

    /// Ends when a request of anybody has ended after this call.
    pub fn freed(&self) -> OwnedNotified {
        Arc::clone(&self.seat.account.freed).notified_owned()
    }

    /// Why nothing may be sent, if that is so.
    pub fn throttle(&self, now: Instant) -> Option<Throttle> {
        self.state().throttle(self.seat.party, now)
    }

    /// Lets requests through again, in all processes.
    pub fn end_pause(&self) {
        let State { models, pause, .. } = &mut *self.state();
        pause.update(|_| 0);
        if let Some(model) = models.get_mut(&self.seat.party.model) {
            model.pause.update(|_| 0);
        }
    }

    /// Until when an administrator's limits keep a request waiting, if they do.
    pub fn limited_until(&self, now: Instant) -> Option<Instant> {
        self.state().limited.filter(|until| *until > now)
    }

    /// See [`Limiter::succeeded`](super::limiter::Limiter::succeeded).
    pub fn succeeded(&self) {
        let state = &mut *self.state();
        state.accepted = Some(Instant::now());
        if let Some(limiter) = state.seats.limiter(self.seat.party) {
            limiter.succeeded();
        }
    }

    /// See [`Limiter::overloaded`](super::limiter::Limiter::overloaded).
    pub fn overloaded(&self, now: Instant, sent: Instant) {
        if let Some(limiter) = self.state().seats.limiter(self.seat.party) {
            limiter.overloaded(now, sent);
        }
    }

    /// See [`Limiter::is_stuck`](super::limiter::Limiter::is_stuck).
    pub fn is_stuck(&self, now: Instant) -> bool {
        let mut state = self.state();
        let limiter = state.seats.limiter(self.seat.party);
        limiter.is_some_and(|limiter| limiter.is_stuck(now))
    }

    /// Stops requests for the model for as long as [`Limiter::throttled`](super::limiter::Limiter::throttled)
    /// says, in all processes; where it is not the model alone that is refused, also for others.
    pub fn throttled(&self, now: Instant, sent: Instant, told: Option<Duration>, jitter: f64, refusal: Arc<Refusal>) {
        let Party { owner, model } = self.seat.party;
        let State {
            seats,
            models,
            pause,
            refusal: of_account,
            accepted,
            ..
        } = &mut *self.state();
        let Some(limiter) = seats.limiter(self.seat.party) else {
            return;
        };
        let until = now + limiter.throttled(now, sent, told, jitter);
        let extend = |mark: &mut Mark, until| {
            let until = mark.clock.moment(until);
            mark.update(|moment| moment.max(until));
        };
        let Some(refused) = models.get_mut(&model) else {
            return;
        };
        if refusal.is_of_account(&refused.name) {
            extend(pause, until);
            *of_account = refusal;
            return;
        }
        extend(&mut refused.pause, until);
        refused.refusal = Arc::clone(&refusal);
        refused.refused = Some(now);
        // One that this owner asks for, too, was refused, is so still, and nothing was accepted since.
        let is_refused = |other: &Model| {
            let since = other
                .refused
                .filter(|since| accepted.is_none_or(|accepted| accepted < *since));
            since.is_some() && other.owners.contains_key(&owner) && other.pause.after(now).is_some()
        };
        if models.iter().any(|(name, other)| *name != model && is_refused(other)) {
            let until = until.min(now + GREATEST_GUESS);
            let only_owner = |other: &Model| other.owners.keys().all(|asks| *asks == owner);
            for other in models.values_mut().filter(|other| only_owner(other)) {
                extend(&mut other.pause, until);
                if other.refused.is_none() {
                    other.refusal = Arc::clone(&refusal);
                }
            }
        }
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
        let first = gates.of("http://a", Some(&key), Allowance::default(), 1, ASKER);
        let Entry::Open(pass) = first.look(now, 1) else {
            panic!("an empty gate is open")
        };
        assert!(matches!(
            gates
                .of("http://a", Some(&key), Allowance::default(), 1, ASKER)
                .look(now, 1),
            Entry::Full
        ));
        assert!(matches!(
            gates
                .of("http://a", Some(&other), Allowance::default(), 1, ASKER)
                .look(now, 1),
            Entry::Open(_)
        ));
        assert!(matches!(
            gates
                .of("http://b", Some(&key), Allowance::default(), 1, ASKER)
                .look(now, 1),
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
        let gate = gates.of("http://a", None, Allowance::default(), 4, ASKER);
        gate.throttled(now, now, told, 0.5, refusal);
        let until = gate.throttle(now).expect("it is paused").until;
        assert_eq!((until - now).as_secs(), 1);
        assert!(
            matches!(gates.of("http://a", None, Allowance::default(), 4, ASKER).look(now, 1), Entry::Paused(at) if at == until)
        );
        assert!(matches!(
            gates
                .of("http://a", None, Allowance::default(), 4, ASKER)
                .look(until, 1),
            Entry::Open(_)
        ));
    }

    const ASKER: Asker<'static> = Asker {
        model: "model",
        owner: None,
    };

    thread_local! {
        /// What two processes share, as it were.
        static LEDGER: &'static Ledger = Box::leak(Box::default());
    }

    fn shared() -> Gates {
        Gates::shared(|kind, account| LEDGER.with(|ledger| ledger.place(kind, account)))
    }

    fn refused(message: &str) -> Arc<Refusal> {
        let body = serde_json::json!({ "error": { "message": message } }).to_string();
        Arc::new(Refusal::new(429, body.as_bytes(), None, &[]))
    }

    /// Providers limit models. Two of one owner say something about that owner's others, and nothing about
    /// those of others.
    #[test]
    fn a_pause_is_that_of_a_model_unless_the_server_says_more() {
        const HOUR: Option<Duration> = Some(Duration::from_secs(3600));
        let owner = |number: u8| Some(Fingerprint::of(None, &[number]));
        let of_model = "Rate limit reached for bad in organization org-1, see https://provider.example/account/limits";
        let of_account = "Too many requests for this account";
        let (seconds, hour) = (GREATEST_GUESS.as_secs(), 3600);
        // Who is refused, with what, and the pauses of: bad and good of mallory, good and bad of ann.
        for (refusals, pauses) in [
            (vec![("bad", of_model)], [hour, 0, 0, hour]),
            (vec![("bad", of_account)], [hour; 4]),
            (vec![("bad", of_model), ("worse", of_model)], [hour, 0, 0, hour]),
            (
                vec![("bad", "slow down"), ("worst", "slow down")],
                [hour, seconds, 0, hour],
            ),
        ] {
            let gates = Gates::default();
            let now = Instant::now();
            let gate = |model, number| {
                let asker = Asker {
                    model,
                    owner: owner(number),
                };
                gates.of("http://a", None, Allowance::default(), 4, asker)
            };
            // Nobody else asks for what only mallory does.
            let others = ["worse", "worst", "only"].map(|model| gate(model, 1));
            let all = [gate("bad", 1), gate("only", 1), gate("good", 2), gate("bad", 2)];
            for (model, message) in &refusals {
                if *model == "worse" {
                    // Between the two, something was accepted.
                    std::thread::sleep(Duration::from_millis(2));
                    all[1].succeeded();
                }
                let at = if refusals.len() > 1 { Instant::now() } else { now };
                gate(model, 1).throttled(at, at, HOUR, 0.5, refused(message));
            }
            let later = Instant::now();
            let found = all.each_ref().map(|gate| {
                let until = gate.throttle(later).map(|throttle| throttle.until - later);
                until.map_or(0, |pause| pause.as_secs_f64().round() as u64)
            });
            assert_eq!(found, pauses, "{refusals:?}");
            // Whoever wants one asked again has it asked, whatever holds the others.
            for gate in all {
                gate.end_pause();
                assert!(gate.throttle(later).is_none());
            }
            drop(others);
        }
    }

    /// What a provider that is asked for one model makes of it is nothing to those who ask for another.
    #[test]
    fn failures_and_hanging_requests_of_one_leave_room_for_others() {
        let (gates, now) = (Gates::default(), Instant::now());
        let gate = |model, number: u8| {
            let asker = Asker {
                model,
                owner: Some(Fingerprint::of(None, &[number])),
            };
            gates.of("http://a", None, Allowance::default(), 4, asker)
        };
        let (mallory, ann) = (gate("hangs", 1), gate("good", 2));
        let hanging: Vec<Pass> = (0..4)
            .map_while(|_| match mallory.look(now, 1) {
                Entry::Open(pass) => Some(pass),
                _ => None,
            })
            .collect();
        assert_eq!(hanging.len(), 3);
        (0..5).for_each(|_| mallory.overloaded(Instant::now(), Instant::now()));
        for _ in 0..3 {
            assert!(!ann.is_full() && matches!(ann.look(now, 1), Entry::Open(_)));
        }
        drop(hanging);
        let passes = [&mallory, &ann, &ann, &mallory].map(|gate| gate.look(now, 1));
        assert!(matches!(
            passes,
            [Entry::Open(_), Entry::Open(_), Entry::Open(_), Entry::Full]
        ));
    }

    /// Budgets are those of the server and the key.
    #[test]
    fn all_models_have_one_budget() {
        let (gates, now) = (Gates::default(), Instant::now());
        let allowance = Allowance {
            requests_per_minute: Some(20),
            tokens_per_minute: None,
        };
        let looks = ["one", "other", "third"].map(|model| {
            let asker = Asker { model, owner: None };
            gates.of("http://a", None, allowance, 4, asker).look(now, 1)
        });
        assert!(matches!(looks, [Entry::Open(_), Entry::Open(_), Entry::Paused(_)]));
    }

    #[test]
    fn a_pause_is_for_all_processes_and_outlives_the_one_that_met_it() {
        let now = Instant::now();
        let (key, other) = (Secret::new("key".to_owned()), Secret::new("other".to_owned()));
        let limited = Allowance {
            requests_per_minute: Some(600),
            tokens_per_minute: None,
        };
        let gate = |key, allowance| shared().of("http://a", Some(key), allowance, 4, ASKER);
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
            shared().of("http://a", None, allowance, 1000, ASKER)
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
        let gate = Gates::default().of("http://a", None, allowance, 4, ASKER);
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
        let gate = gates.of("http://a", None, allowance, 1000, ASKER);
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
            gates
                .of("http://a", None, Allowance::default(), 4, ASKER)
                .look(now, 1000),
            Entry::Open(_)
        ));
    }

    #[tokio::test]
    async fn who_waits_is_called_when_somebody_else_leaves() {
        let gate = Gates::default().of("http://a", None, Allowance::default(), 1, ASKER);
        let Entry::Open(pass) = gate.look(Instant::now(), 1) else {
            panic!("an empty gate is open")
        };
        let mut freed = std::pin::pin!(gate.freed());
        freed.as_mut().enable();
        drop(pass);
        freed.await;
    }
}
