//! When documents fly that a process died with: `ai_pipeline::worker::suspects`.

use std::time::Instant;

use ai_pipeline::worker::suspects::{Precedence, Take};
use pgrx::pg_sys::Oid;

use super::state::Worker;
use crate::catalog::Vectorizer;

impl Worker {
    /// Whose suspects have their turn.
    pub(super) fn turn_of_suspects(&mut self, now: Instant) -> Precedence<Oid> {
        let stations = self.stations.iter();
        let due = stations.filter(|station| self.suspects.has(station.vectorizer.id) && self.is_due(station, now));
        let owners: Vec<Oid> = due.map(|station| station.vectorizer.owner).collect();
        let (flying, some_fly) = (self.flights.owners_of_suspects(), !self.flights.is_empty());
        self.suspects.turn(flying, some_fly, owners.into_iter(), now)
    }

    /// What of a vectorizer is taken in this round.
    pub(super) fn what_to_take(&self, vectorizer: &Vectorizer, precedence: &Precedence<Oid>) -> Take {
        let (id, owner) = (vectorizer.id, vectorizer.owner);
        precedence.take(owner, || self.suspects.has(id) && self.may_fly_alone(owner))
    }

    /// Whether suspects of an owner may be taken now.
    pub(super) fn may_fly_alone(&self, owner: Oid) -> bool {
        let owners = self.flights.values().map(|flight| flight.vectorizer.owner);
        self.suspects.may_fly(owner, owners)
    }
}
