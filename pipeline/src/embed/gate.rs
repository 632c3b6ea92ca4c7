//! What all requests to one server have in common: how many may be under way, and until when it wants to be left alone.
//!
//! Providers limit models, so a pause is that of one model with one key, for all who ask for it; one that the
//! server calls that of its account is for all models. Where several models of one owner are refused
//! together, the owner's other models wait for a while as well: nobody else's, or one owner could stop the
//! others with models that no credit has a quota for.
//!
//! What is under way is limited for all together. Who fails, is slow or hangs has fewer requests under way,
//! and nobody else; and the last room is for those who have none yet, by turns, so that whatever hangs leaves
//! some to others.

mod account;
mod seats;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::futures::OwnedNotified;

use super::ledger::{Clock, LedgerKind, LedgerMoment, LedgerPlace};
use super::pace::Pace;
use super::{Allowance, Refusal};
use crate::fingerprint::Fingerprint;
use crate::secret::Secret;
pub(super) use account::Throttle;
use account::{Model, ModelStates, ProviderAccount};
use seats::Party;

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
    servers: Arc<Mutex<HashMap<Server, Arc<ProviderAccount>>>>,
    clock: Clock,
    /// Where other processes find what is known of an account.
    place: Option<fn(LedgerKind, &Fingerprint) -> LedgerPlace>,
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
    /// [`Ledger`](super::Ledger). It is called where a process makes an [`Embedder`](super::Embedder).
    pub fn shared(place: fn(LedgerKind, &Fingerprint) -> LedgerPlace) -> Gates {
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
            LedgerMoment::new(self.clock, self.place.map(|place| place(kind, &account)))
        };
        let account = || {
            Arc::new(ProviderAccount::new(allowance, most, |what| {
                mark(LedgerKind::Account, what)
            }))
        };
        let account = Arc::clone(lock(&self.servers).entry(server).or_insert_with(account));
        let name = asker.model.to_owned();
        let party = Party {
            owner: asker.owner,
            model: Fingerprint::of(None, name.as_bytes()),
        };
        // Made before the lock is taken: an allocation that fails drops the seat, which takes the lock.
        let seat = Arc::new(GateSeat {
            account: Arc::clone(&account),
            party,
            is_taken: AtomicBool::new(false),
        });
        let ModelStates { seats, models, .. } = &mut *lock(&account.state);
        let model = models.entry(party.model).or_insert_with(|| Model {
            name: name.to_lowercase(),
            pause: mark(LedgerKind::Model, &format!("pause for {name}")),
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

/// The gate of one server, for one who asks. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    seat: Arc<GateSeat>,
}

#[derive(Debug)]
struct GateSeat {
    account: Arc<ProviderAccount>,
    party: Party,
    /// What is below counts it.
    is_taken: AtomicBool,
}

impl Drop for GateSeat {
    /// What is known of a model goes with the last who asks for it, but for what is in the ledger.
    fn drop(&mut self) {
        if !*self.is_taken.get_mut() {
            return;
        }
        let ModelStates { seats, models, .. } = &mut *lock(&self.account.state);
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

/// What a request meets at the gate.
#[derive(Debug)]
pub(super) enum Admission {
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
        let GateSeat { account, party, .. } = &*self.0.seat;
        lock(&account.state).seats.end(*party);
        account.freed.notify_waiters();
    }
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, ModelStates> {
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
    pub fn look(&self, now: Instant, of: usize) -> Admission {
        let party = self.seat.party;
        let state = &mut *self.state();
        if let Some(throttle) = state.throttle(party, now) {
            return Admission::Paused(throttle.until);
        }
        let ModelStates {
            seats,
            requests,
            tokens,
            limited,
            ..
        } = state;
        if !seats.has_room(party) {
            return Admission::Full;
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
            return Admission::Paused(due);
        }
        seats.begin(party);
        Admission::Open(Pass(self.clone()))
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
        let ModelStates { models, pause, .. } = &mut *self.state();
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
        let ModelStates {
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
        let extend = |mark: &mut LedgerMoment, until| {
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
mod tests;
