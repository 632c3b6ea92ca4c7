//! What becomes of a vectorizer whose owner's code keeps the worker for too long.

use std::sync::Arc;

use ai_pipeline::error::{Class, Failure, Step};
use pgrx::prelude::*;

use super::state::Worker;
use crate::catalog::Vectorizer;
use crate::postgres::transaction::accounts;
use crate::postgres::transaction::limit::{self, Interruption};
use crate::settings;
use crate::store::queue;

impl Worker {
    /// Stops the vectorizers whose code was cut short since the last round.
    pub(super) fn stop_overruns(&mut self) {
        for (id, cut) in limit::take_cuts() {
            self.stop(id, cut, 1);
        }
    }

    /// The process before ended in code of this vectorizer's owner, as that many in a row.
    pub(super) fn stop_after_death(&mut self, id: i32, deaths: u32) {
        let name = self.station(id).map(|station| station.vectorizer.name.clone());
        log!(
            "ai: the worker before met its end in code of the owner of vectorizer {}, which does not end when it is cancelled",
            name.unwrap_or_else(|| id.to_string())
        );
        self.stop(id, Interruption::Time, deaths);
    }

    /// Pauses a vectorizer. What is in its hands is given back before it is served again; its owner
    /// comes later.
    fn stop(&mut self, id: i32, cut: Interruption, strikes: u32) {
        let Some(vectorizer) = self.station(id).map(|station| Arc::clone(&station.vectorizer)) else {
            return;
        };
        if accounts::is_shared() {
            accounts::change(vectorizer.owner, |account, now| {
                account.strike(limit::longest(), strikes, now)
            });
        }
        let batch = self.jobs.take_of(id);
        super::failures::keep_vectors(&vectorizer, || super::failures::put_aside(&vectorizer, &batch));
        let taken = self.abandoned.entry(id).or_default();
        taken.extend(batch.iter().map(|(_, job)| (job.item.lease, job.item.number)));
        self.slow.was_cut(id);
        if let Some(station) = self.station_mut(id) {
            station.put_aside();
            station.resume();
        }
        self.pause_vectorizer(&vectorizer, &failure(cut));
    }
}

/// Gives back what was in the worker's hands when it was cut short; as the owner.
pub(super) fn give_back_abandoned(vectorizer: &Vectorizer, abandoned: &[(i64, i64)]) {
    let mut leases: Vec<i64> = abandoned.iter().map(|(lease, _)| *lease).collect();
    leases.sort_unstable();
    leases.dedup();
    for lease in leases {
        let numbers = abandoned
            .iter()
            .filter(|(of, _)| *of == lease)
            .map(|(_, number)| *number);
        queue::untake(vectorizer, &numbers.collect::<Vec<_>>(), lease);
    }
}

fn failure(cut: Interruption) -> Failure {
    let ran = match cut {
        Interruption::Time => format!(
            "ran for longer than ai.owner_timeout ({} s)",
            settings::owner_timeout().as_secs_f32()
        ),
        Interruption::Cancelled => "was cancelled while it ran in the worker (pg_cancel_backend)".to_owned(),
    };
    Failure {
        step: Step::Writing,
        class: Class::Configuration,
        reason: format!("code of the owner of its tables (a trigger, a policy, a function) {ran}"),
        hint: Some(
            "Make that code faster, or disable it: everybody waits for it. It was cancelled; code that catches that is ended with its \
             process."
                .to_owned(),
        ),
    }
}
