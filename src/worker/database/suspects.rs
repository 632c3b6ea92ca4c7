//! When documents fly that a process died with, and what has to wait meanwhile.
//!
//! They fly alone as far as their owner is concerned, or the next death would find others in the same hands.
//! Documents of others wait for them only where a process has died with documents of that owner, and not for
//! long (`ai_pipeline::suspicion`): what a queue says of deaths, its owner may have written.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use pgrx::pg_sys::Oid;

use super::Worker;
use super::stations::Station;
use crate::catalog::Vectorizer;
use crate::shared_memory::lives;

/// For how long others fly before suspects have their turn.
const OTHERS: Duration = Duration::from_secs(5);

/// Whose suspects fly or are to fly in a round.
pub(super) struct Turns {
    /// Owners of suspects in the air: nothing else of theirs is taken.
    flying: HashSet<Oid>,
    /// Owners whose suspects are next, as soon as what else they have has landed.
    due: HashSet<Oid>,
    /// The one of them that comes before all others, which wait for its suspects.
    pub(super) first: Option<Oid>,
}

impl Turns {
    /// Whether documents of a vectorizer are taken in this round, and suspects first.
    pub(super) fn of(&self, vectorizer: &Vectorizer, worker: &Worker) -> Option<bool> {
        let (id, owner) = (vectorizer.id, vectorizer.owner);
        if self.flying.contains(&owner) {
            return None;
        }
        if !self.due.contains(&owner) {
            return Some(false);
        }
        (worker.suspects.contains(&id) && worker.may_fly_alone(owner)).then_some(true)
    }
}

impl Worker {
    /// Whose suspects have their turn. Where there is always something else to do, it waits for them from time to time.
    pub(super) fn turn_of_suspects(&mut self, now: Instant) -> Turns {
        let flying: HashSet<Oid> = self.flights.suspects().map(|flight| flight.vectorizer.owner).collect();
        self.suspects_flew.extend(flying.iter().map(|owner| (*owner, now)));
        let may_fly = |station: &&Station| self.suspects.contains(&station.vectorizer.id) && self.is_due(station, now);
        let flew = |owner: &Oid| self.suspects_flew.get(owner).copied().unwrap_or(self.began);
        let owners = self
            .stations
            .iter()
            .filter(may_fly)
            .map(|station| station.vectorizer.owner);
        let due: HashSet<Oid> = owners
            .filter(|owner| !flying.contains(owner) && flew(owner) + OTHERS <= now)
            .collect();
        let is_alone =
            self.suspicion.is_alone(now) && self.suspicion.owner().is_some_and(|owner| flying.contains(&owner));
        let first = due
            .iter()
            .copied()
            .filter(|owner| !is_alone && self.suspicion.is_grave(*owner))
            .min_by_key(|owner| (flew(owner), owner.to_u32()));
        if let Some(owner) = self.suspicion.owner()
            && !flying.contains(&owner)
            && first != Some(owner)
        {
            self.suspicion.end(now);
        }
        if let Some(owner) = first
            && !self.flights.is_empty()
            && self.suspicion.owner() != Some(owner)
        {
            // Nothing more is taken until those have landed.
            self.suspicion.begin(owner, now);
        }
        if self.flights.is_empty() {
            self.suspicion.end(now);
        }
        Turns { flying, due, first }
    }

    /// Whether suspects of an owner may be taken now: nothing of the owner is in the air. Where a process has
    /// died with some of its documents, nothing of others is, or they were waited for long enough.
    pub(super) fn may_fly_alone(&self, owner: Oid) -> bool {
        let waits = self.suspicion.is_grave(owner) && self.suspicion.owner() != Some(owner);
        let mut flights = self.flights.values();
        !flights.any(|flight| waits || flight.vectorizer.owner == owner)
    }

    /// Tells the memory that outlives this process whose documents are in its hands.
    pub(super) fn note_held(&mut self) {
        let is_known = |id| self.held.contains(&id);
        if self.flights.vectorizers().count() != self.held.len() || !self.flights.vectorizers().all(is_known) {
            self.held = self.flights.vectorizers().collect();
            lives::holds(&self.held);
        }
    }
}
