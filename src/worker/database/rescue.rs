//! How documents come back from the hands of a worker that is gone.

use std::sync::Arc;
use std::time::Instant;

use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::lease::Holder;
use ai_pipeline::retry;
use ai_pipeline::worker::order;
use pgrx::prelude::*;

use super::duty::Duty;
use super::state::VectorizerStation;
use super::state::{SLICE, Worker};
use crate::catalog::{self, Vectorizer};
use crate::postgres::aborted::Aborted;
use crate::postgres::transaction::accounts;
use crate::postgres::{error, failure, swallowed};
use crate::store::{queue, stash};

/// Documents of a worker that is gone that are given back, or moved aside, by one statement.
const RESCUED: usize = 1000;

/// Gives back what an earlier worker of this database held, and moves aside what killed three of
/// them: a portion in a round, for as long as a look may take.
pub(super) struct Rescuer {
    /// The worker before this one, if that was killed.
    pub(super) killed: Option<Holder>,
}

impl Duty for Rescuer {
    fn due(&self, worker: &Worker) -> Option<Instant> {
        let is_due = worker.unrescued.iter().any(|id| !worker.must_wait(*id));
        is_due.then(Instant::now)
    }

    fn run(&mut self, worker: &mut Worker) -> bool {
        let began = Instant::now();
        accounts::begin_turns();
        // Of those of an owner that was held, the ones that are not to blame for it come first.
        let unrescued: Vec<i32> = std::mem::take(&mut worker.unrescued).into();
        let is_paused = |id| worker.station(id).is_some_and(VectorizerStation::is_paused);
        worker.unrescued = order::innocent_first(unrescued, is_paused).into();
        for _ in 0..worker.unrescued.len() {
            let Some(id) = worker.unrescued.pop_front() else {
                break;
            };
            let Some(vectorizer) = worker.station(id).map(|station| Arc::clone(&station.vectorizer)) else {
                continue;
            };
            if worker.must_wait(id) || !accounts::has_turn(vectorizer.owner) {
                worker.unrescued.push_back(id);
                continue;
            }
            match self.rescue(worker, &vectorizer) {
                Ok((true, _)) => worker.unrescued.push_back(id),
                Ok((false, true)) => {
                    worker.suspects.found(id);
                }
                Ok((false, false)) => (),
                Err(aborted) => leave(worker, &vectorizer, &aborted),
            }
            if began.elapsed() >= SLICE {
                break;
            }
        }
        !worker.unrescued.is_empty()
    }
}

impl Rescuer {
    /// Some of what an earlier worker has left of a vectorizer: whether there is more, and whether
    /// it has suspects.
    fn rescue(&self, worker: &Worker, vectorizer: &Vectorizer) -> Result<(bool, bool), Aborted> {
        let (holder, killed, held) = (
            worker.leases.holder(),
            self.killed,
            worker.jobs.leases_of(vectorizer.id),
        );
        vectorizer.transaction(|| {
            let (more, quarantined, suspects) = vectorizer.act(|| {
                let rescued = queue::rescue(vectorizer, holder, killed, &held, RESCUED);
                let failure = quarantine_failure();
                let quarantined = queue::quarantine(vectorizer, retry::CRASH_ATTEMPTS, &failure, RESCUED);
                let more = rescued == RESCUED || quarantined.len() == RESCUED;
                (more, quarantined, !more && queue::has_suspects(vectorizer))
            });
            catalog::record_quarantined(vectorizer.id, &quarantined, &quarantine_failure());
            if !more {
                stash::sweep(vectorizer);
            }
            (more, suspects)
        })
    }
}

/// What could not be rescued waits for a lock, stands still, or runs out with its leases.
fn leave(worker: &mut Worker, vectorizer: &Arc<Vectorizer>, aborted: &Aborted) {
    if error::is_lock_conflict(aborted) {
        if let Some(station) = worker.station_mut(vectorizer.id) {
            station.locks.met(Instant::now());
        }
        worker.unrescued.push_back(vectorizer.id);
    } else if swallowed::is(aborted) {
        // They must not run again, and cannot be moved aside.
        let failure = Failure {
            class: Class::Configuration,
            ..failure::from_database(aborted, Step::Loading)
        };
        worker.pause_vectorizer(vectorizer, &failure);
    } else {
        log!(
            "ai: cannot give back the documents of vectorizer {}: {}",
            vectorizer.name,
            aborted.message
        );
    }
}

fn quarantine_failure() -> Failure {
    Failure {
        step: Step::Parsing,
        class: Class::Permanent,
        reason: format!(
            "the worker process died {} times while it worked on this document",
            retry::CRASH_ATTEMPTS
        ),
        hint: Some("The server log tells how the process ended. Change the row, or call ai.retry_vectorizer, to have it tried again.".to_owned()),
    }
}
