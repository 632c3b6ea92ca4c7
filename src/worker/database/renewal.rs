//! How documents stay in the worker's hands.

use std::sync::Arc;
use std::time::Instant;

use ai_pipeline::worker::renewals::Renewals;
use pgrx::prelude::*;

use super::duty::Duty;
use super::state::Worker;
use crate::postgres::transaction::accounts;
use crate::store::queue;

/// Tells the queues that their documents are in good hands.
pub(super) struct Renewer {
    renewals: Renewals,
}

impl Renewer {
    pub(super) fn new(now: Instant) -> Renewer {
        Renewer {
            renewals: Renewals::new(now),
        }
    }
}

impl Duty for Renewer {
    fn due(&self, worker: &Worker) -> Option<Instant> {
        Some(Instant::now() + Renewals::most_pause(worker.settings.lease_duration))
    }

    fn run(&mut self, worker: &mut Worker) -> bool {
        let lease = worker.settings.lease_duration;
        let in_flight = worker.jobs.values().map(|job| job.vectorizer.id);
        for id in self.renewals.take(lease, Instant::now(), in_flight) {
            let held = worker.jobs.leases_of(id);
            let Some(vectorizer) = worker.station(id).map(|station| Arc::clone(&station.vectorizer)) else {
                continue;
            };
            if held.is_empty() {
                continue;
            }
            if !accounts::has_turn(vectorizer.owner) {
                self.renewals.put_off(id);
                continue;
            }
            let renewed = vectorizer.transaction(|| {
                vectorizer.act(|| {
                    queue::renew(&vectorizer, held, lease);
                });
            });
            if let Err(aborted) = renewed
                && !aborted.put_off
            {
                log!(
                    "ai: cannot renew the leases of vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                );
            }
        }
        false
    }
}
