//! What becomes of documents that could not be done: they wait, are given back, or fail.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::error as pipeline;
use ai_pipeline::retry::{self, Decision};
use ai_pipeline::worker::batches::BATCH;
use ai_pipeline::worker::locks::{PATIENCE, UNLOCKED};
use pgrx::prelude::*;

use super::jobs::StepBatch;
use super::state::{BUSY, Worker};
use crate::catalog::{self, Vectorizer};
use crate::postgres::aborted::Aborted;
use crate::postgres::transaction::accounts;
use crate::postgres::{error, failure, swallowed};
use crate::store::queue::{self, Hold, Item};
use crate::store::stash;
use crate::worker::job::{Job, Paid, Stage};

/// How long until the next try of a document whose row a user has kept locked for long. A change of
/// it ends the wait, and so does a look that finds the row free.
pub(super) const LONG: Duration = Duration::from_secs(30);

impl Worker {
    /// The database did not do a step: later, if a lock was in the way, else the documents have
    /// failed.
    pub(super) fn refused(&mut self, vectorizer: &Vectorizer, aborted: &Aborted, batch: StepBatch) {
        let now = Instant::now();
        if aborted.put_off {
            // It is the turn of other owners: nothing stands in the way of these, and what was done
            // for them is kept.
            let until = accounts::held_until(vectorizer.owner).unwrap_or(now + BUSY);
            for (number, mut job) in batch {
                job.not_before = job.not_before.max(until);
                self.jobs.put(number, job);
            }
            return;
        }
        let in_the_way = error::is_lock_conflict(aborted);
        let failure = if in_the_way {
            let mut until = now + BUSY;
            if let Some(station) = self.station_mut(vectorizer.id) {
                until = station.locks.met_in_flight(now);
            }
            // A lock of a table is in the way of all its documents: the lock is not waited for
            // with each of them.
            for job in self.jobs.of_mut(vectorizer.id) {
                job.not_before = job.not_before.max(until);
                if job.stage.next_step().is_some() {
                    job.put_off.get_or_insert(now);
                }
            }
            None
        } else {
            let step = match batch.first().map(|(_, job)| &job.stage) {
                Some(Stage::Reading { .. }) => pipeline::Step::Loading,
                _ => pipeline::Step::Writing,
            };
            let failure = failure::from_database(aborted, step);
            let stale = self.may_be_stale(vectorizer.id, &failure);
            (!stale).then_some(failure)
        };
        if failure.is_some() {
            keep_vectors(vectorizer, || put_aside(vectorizer, &batch));
        }
        for (number, mut job) in batch {
            match &failure {
                Some(failure) => job.stage = Stage::failed(failure.clone()),
                None if in_the_way => {
                    let until = self.station(vectorizer.id).and_then(|station| station.locks.until());
                    let wait = until.map_or(BUSY, |until| until.saturating_duration_since(now));
                    job.wait_for_a_lock(now, wait);
                }
                None => job.not_before = now + BUSY,
            }
            self.jobs.put(number, job);
        }
    }

    /// Gives documents back that a lock of a user has kept from being written for long: the places
    /// and the memory that they take are others', too. Their vectors wait in the stash.
    pub(super) fn give_back(&mut self) {
        let now = Instant::now();
        let long = |job: &Job| {
            let since = job.put_off.filter(|_| job.stage.next_step().is_some());
            // What nobody else would know: which texts were cut, and the vectors of a portion.
            let is_irreplaceable = match &job.stage {
                Stage::Writing { draft, .. } => !draft.cut.is_empty(),
                Stage::Stashing { .. } => true,
                _ => false,
            };
            !is_irreplaceable && since.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE)
        };
        let mut held_up: HashMap<i32, Vec<u64>> = HashMap::new();
        for (number, job) in self.jobs.iter().filter(|(_, job)| long(job)) {
            held_up.entry(job.vectorizer.id).or_default().push(number);
        }
        for numbers in held_up.values().flat_map(|numbers| numbers.chunks(BATCH)) {
            let owner = numbers.first().and_then(|number| self.jobs.get(*number));
            if owner.is_some_and(|job| !accounts::has_turn(job.vectorizer.owner)) {
                continue;
            }
            let batch = self.jobs.take_all(numbers);
            let Some(vectorizer) = batch.first().map(|(_, job)| Arc::clone(&job.vectorizer)) else {
                continue;
            };
            let is_in_the_way = self
                .station(vectorizer.id)
                .is_some_and(|station| station.locks.is_in_the_way(now));
            // One at a time finds out when a table is free again. Of rows that a user has locked,
            // each has to.
            let after = if is_in_the_way { PATIENCE } else { LONG };
            let given_back = vectorizer.transaction(|| {
                put_aside(&vectorizer, &batch);
                vectorizer.act(|| {
                    for (_, job) in &batch {
                        queue::release_locked(&vectorizer, &job.item, after);
                    }
                });
            });
            if given_back.is_err() {
                // The queue is locked, too: they stay.
                for (number, mut job) in batch {
                    job.put_off = Some(now);
                    self.jobs.put(number, job);
                }
                continue;
            }
            if let Some(station) = self.station_mut(vectorizer.id) {
                station.gave_back(is_in_the_way, now);
            }
            self.look_again(vectorizer.id, if is_in_the_way { after } else { UNLOCKED });
        }
    }

    /// Does with a failed document what the class of the failure says.
    pub(super) fn settle(&mut self, number: u64, mut job: Job) {
        let Stage::Settling { failure, paid } = &job.stage else {
            unreachable!("a batch is made of documents that wait for the same step")
        };
        let (vectorizer, item, failure) = (Arc::clone(&job.vectorizer), &job.item, failure.clone());
        let vectorizer = &vectorizer;
        let decision = decide(vectorizer, item, &failure);
        let settled = vectorizer.transaction(|| note_failure(vectorizer, item, &failure, paid, decision));
        if let Some(station) = self.station_mut(vectorizer.id) {
            station.settled();
        }
        match settled {
            Ok(Hold::Busy) => {
                job.wait_for_a_lock(Instant::now(), BUSY);
                self.jobs.put(number, job);
                return;
            }
            Ok(_) => (),
            Err(aborted) if error::is_lock_conflict(&aborted) => {
                return self.refused(vectorizer, &aborted, vec![(number, job)]);
            }
            Err(aborted) if self.may_be_stale(vectorizer.id, &failure::from_database(&aborted, failure.step)) => {
                job.not_before = Instant::now() + BUSY;
                self.jobs.put(number, job);
                return;
            }
            Err(aborted) if swallowed::is(&aborted) => keep_swallowed(&job, &failure, &aborted),
            // The lease runs out, and the document is taken again.
            Err(aborted) => {
                log!(
                    "ai: cannot note a failed document of vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                );
                keep_vectors(vectorizer, || {
                    stash::put(vectorizer, item.number, &paid.keys, &paid.vectors);
                });
            }
        }
        if job.suspect {
            self.suspects.found(vectorizer.id);
        }
        match decision {
            Decision::Again { after, counted: true } => self.look_again(vectorizer.id, after),
            // Throttled: no document of this vectorizer fares better before then.
            Decision::Again { after, counted: false } => {
                if let Some(station) = self.station_mut(vectorizer.id) {
                    station.look_after(after, Instant::now());
                }
            }
            Decision::Pause => self.pause_vectorizer(vectorizer, &failure),
            Decision::GiveUp => self.look_again(vectorizer.id, Duration::ZERO),
        }
    }
}

/// What is done with a document that has failed.
fn decide(vectorizer: &Vectorizer, item: &Item, failure: &pipeline::Failure) -> Decision {
    let retries = retry::retries(failure.step, vectorizer.config.loading.retries());
    // Each step has tries of its own: an outage of the provider leaves a document its second try at
    // loading.
    let failures = match item.attempts {
        0 | 1 => 0,
        _ => vectorizer
            .note(|| catalog::failures(vectorizer.id, failure.step, &item.key))
            .unwrap_or(u32::MAX),
    };
    let attempts = item.attempts.min(failures.saturating_add(1));
    retry::after_failure(failure.class, attempts, retries, rand::random())
}

/// The transaction that does it, if the document is still ours.
fn note_failure(
    vectorizer: &Vectorizer,
    item: &Item,
    failure: &pipeline::Failure,
    paid: &Paid,
    decision: Decision,
) -> Hold {
    let (hold, note) = vectorizer.act(|| {
        let hold = queue::hold_item(vectorizer, item);
        let note = hold == Hold::Ours
            && match decision {
                Decision::Again { after, counted } => {
                    queue::release(vectorizer, item, after, counted);
                    counted
                }
                Decision::Pause => {
                    queue::release(vectorizer, item, Duration::ZERO, false);
                    false
                }
                Decision::GiveUp => queue::give_up(vectorizer, item, failure),
            };
        (hold, note)
    });
    if hold == Hold::Ours {
        stash::put(vectorizer, item.number, &paid.keys, &paid.vectors);
        // Unless it has changed, and is in the queue.
        if decision == Decision::GiveUp && note {
            stash::keep_given_up(vectorizer, item);
        }
    }
    if note {
        catalog::record_error(
            vectorizer.id,
            Some(&vectorizer.config),
            Some(item.key.as_str()),
            failure,
        );
    }
    hold
}

/// A document whose failure its queues have swallowed stays in the queue, to be tried again after
/// long, and says so. Where it cannot even be put off, its lease runs out.
fn keep_swallowed(job: &Job, failure: &pipeline::Failure, aborted: &Aborted) {
    let (vectorizer, item) = (&job.vectorizer, &job.item);
    let swallowed = failure::from_database(aborted, failure.step);
    let failure = pipeline::Failure {
        reason: format!("{}; it stays in the queue: {}", failure.reason, swallowed.reason),
        hint: swallowed.hint,
        ..failure.clone()
    };
    let note = || {
        catalog::record_error(
            vectorizer.id,
            Some(&vectorizer.config),
            Some(item.key.as_str()),
            &failure,
        );
    };
    let put_off = vectorizer.transaction(|| {
        vectorizer.act(|| {
            if queue::hold_item(vectorizer, item) == Hold::Ours {
                queue::release(vectorizer, item, retry::backoff(u32::MAX, rand::random()), true);
            }
        });
        note();
    });
    if put_off.is_err()
        && let Err(aborted) = vectorizer.note(note)
    {
        log!(
            "ai: cannot note a failed document of vectorizer {}: {}",
            vectorizer.name,
            aborted.message
        );
    }
    if let Stage::Settling { paid, .. } = &job.stage {
        keep_vectors(vectorizer, || {
            stash::put(vectorizer, item.number, &paid.keys, &paid.vectors);
        });
    }
}

/// Has vectors put aside in a transaction of their own. Whatever kept a document from being
/// written, or its failure from being noted, may be nothing to them, or in their way as well.
pub(super) fn keep_vectors(vectorizer: &Vectorizer, put: impl FnOnce()) {
    if let Err(aborted) = vectorizer.note(put) {
        log!(
            "ai: cannot put vectors of vectorizer {} aside: {}",
            vectorizer.name,
            aborted.message
        );
    }
}

/// Puts vectors aside that wait to be written, or for a failure to be noted.
pub(super) fn put_aside(vectorizer: &Vectorizer, batch: &StepBatch) {
    for (_, job) in batch {
        if let Stage::Settling { paid, .. } = &job.stage {
            stash::put(vectorizer, job.item.number, &paid.keys, &paid.vectors);
        } else if let Some((draft, vectors)) = job.stage.unwritten() {
            let keys = draft.keys_of(&draft.plan.embed, &vectorizer.config.embedding);
            stash::put(vectorizer, job.item.number, &keys, vectors);
        }
    }
}
