//! When documents run that a process died with: `ai_pipeline::worker::suspects`.

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
        let (running, some_run) = (self.jobs.owners_of_suspects(), !self.jobs.is_empty());
        self.suspects.turn(running, some_run, owners.into_iter(), now)
    }

    /// What of a vectorizer is taken in this round.
    pub(super) fn what_to_take(&self, vectorizer: &Vectorizer, precedence: &Precedence<Oid>) -> Take {
        let (id, owner) = (vectorizer.id, vectorizer.owner);
        precedence.take(owner, || self.suspects.has(id) && self.may_run_alone(owner))
    }

    /// Whether suspects of an owner may be taken now.
    pub(super) fn may_run_alone(&self, owner: Oid) -> bool {
        let owners = self.jobs.values().map(|job| job.vectorizer.owner);
        self.suspects.may_run(owner, owners)
    }
}
