//! What the main thread does with a document between its tasks: compare, write, settle.

use std::time::{Duration, Instant};

use ai_pipeline::error::{self as pipeline, Failure};
use ai_pipeline::retry::{self, Decision};
use pgrx::prelude::*;

use super::{BUSY, Worker};
use crate::catalog::{self, Vectorizer};
use crate::queue::{self, Hold};
use crate::transaction::Aborted;
use crate::worker::flight::{Draft, Event, Outcome, Stage, Step};
use crate::{destination, error, transaction};

impl Worker {
    /// Takes over what a task brought.
    pub(super) fn land(&mut self, event: Event) {
        self.last_busy = Instant::now();
        // A flight that is gone was ended while its task's result was on the way.
        let Some(mut flight) = self.flights.remove(&event.flight) else {
            return;
        };
        flight.stage = match (event.outcome, flight.stage) {
            (Outcome::Prepared(Ok(texts)), Stage::Preparing { .. }) => Stage::Comparing { texts },
            (Outcome::Embedded(Ok(vectors)), Stage::Embedding { draft, .. }) => Stage::Writing { draft, vectors },
            (Outcome::Prepared(Err(failure)) | Outcome::Embedded(Err(failure)), _) => Stage::Settling { failure },
            (Outcome::Prepared(Ok(_)) | Outcome::Embedded(Ok(_)), stage) => {
                drop(stage);
                unreachable!("a stage has one task, and ends with it")
            }
        };
        self.flights.insert(event.flight, flight);
    }

    /// Does the main thread's steps of all documents that wait for one, each in a transaction of its own.
    pub(super) fn advance(&mut self) {
        let now = Instant::now();
        let ready = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.stage.is_ready() && flight.not_before <= now);
        for number in ready.map(|(&number, _)| number).collect::<Vec<_>>() {
            if crate::worker::must_end() {
                return;
            }
            // A conflict over a table has put off the others of its vectorizer meanwhile.
            let Some(mut flight) = self.flights.remove(&number) else {
                continue;
            };
            if flight.not_before > now {
                self.flights.insert(number, flight);
                continue;
            }
            let (vectorizer, item) = (&flight.vectorizer, &flight.item);
            let step = match flight.stage {
                Stage::Comparing { texts } => self.compare(number, vectorizer, item, texts),
                Stage::Writing { draft, vectors } => self.write(vectorizer, item, draft, vectors),
                Stage::Settling { failure } => self.settle(vectorizer, item, failure),
                stage => Step::On(stage),
            };
            self.last_busy = Instant::now();
            match step {
                Step::On(stage) => {
                    flight.stage = stage;
                    self.flights.insert(number, flight);
                }
                Step::Busy(stage) => {
                    flight.stage = stage;
                    flight.not_before = Instant::now() + BUSY;
                    self.flights.insert(number, flight);
                }
                Step::Done => (),
            }
        }
    }

    /// What remains to be done once the new texts are known: embed some, or only write.
    pub(super) fn compare(
        &mut self,
        number: u64,
        vectorizer: &Vectorizer,
        item: &queue::Item,
        texts: Vec<String>,
    ) -> Step {
        let stored = transaction::run(|| {
            transaction::acting_as(vectorizer.owner, || destination::chunks(vectorizer, item.number))
        });
        let draft = match stored {
            Ok(stored) => Draft::new(texts, stored),
            Err(aborted) => return self.refused(vectorizer, &aborted, Stage::Comparing { texts }),
        };
        let missing = draft.missing();
        if missing.is_empty() {
            return Step::On(Stage::Writing {
                draft,
                vectors: Vec::new(),
            });
        }
        let embedder = self
            .bridge
            .within(|| self.services.embedder(&vectorizer.config.embedding));
        let task = self.bridge.spawn(async move {
            let vectors = match embedder {
                Ok(embedder) => {
                    let embedded = embedder.embed(missing).await;
                    embedded.map(|embedded| embedded.vectors).map_err(Failure::from)
                }
                Err(failure) => Err(failure),
            };
            Event {
                flight: number,
                outcome: Outcome::Embedded(vectors),
            }
        });
        Step::On(Stage::Embedding { draft, _task: task })
    }

    /// Writes a document and takes it off the queue.
    pub(super) fn write(
        &mut self,
        vectorizer: &Vectorizer,
        item: &queue::Item,
        draft: Draft,
        vectors: Vec<Vec<f32>>,
    ) -> Step {
        let has_notes = self.station(vectorizer.id).is_some_and(|station| station.has_notes);
        let written = transaction::run(|| {
            let hold = transaction::acting_as(vectorizer.owner, || {
                let hold = queue::hold(vectorizer, item);
                match hold {
                    Hold::Ours => {
                        let (stored, texts) = (&draft.stored, &draft.texts);
                        destination::replace(vectorizer, item.number, &draft.plan, stored, texts, &vectors);
                    }
                    Hold::Gone => destination::clear(vectorizer, item.number),
                    Hold::Busy | Hold::Lost => return hold,
                }
                queue::finish(vectorizer, item);
                hold
            });
            if has_notes && matches!(hold, Hold::Ours | Hold::Gone) {
                catalog::forgive(vectorizer.id, Some(&item.primary_key));
            }
            if has_notes && hold == Hold::Ours {
                catalog::resume(vectorizer.id);
            }
            hold
        });
        match written {
            Ok(Hold::Busy) => Step::Busy(Stage::Writing { draft, vectors }),
            Ok(hold) => {
                if hold == Hold::Ours
                    && let Some(station) = self.station_mut(vectorizer.id)
                {
                    station.paused_until = None;
                }
                self.look_again(vectorizer.id, Duration::ZERO);
                Step::Done
            }
            Err(aborted) => self.refused(vectorizer, &aborted, Stage::Writing { draft, vectors }),
        }
    }

    /// The database did not do a step: later, if a lock was in the way, else the document has failed.
    pub(super) fn refused(&mut self, vectorizer: &Vectorizer, aborted: &Aborted, stage: Stage) -> Step {
        if !error::is_lock_conflict(aborted) {
            let failure = error::from_database(aborted, pipeline::Step::Writing);
            if self.may_be_stale(vectorizer.id, &failure) {
                return Step::Busy(stage);
            }
            return Step::On(Stage::Settling { failure });
        }
        // Whoever locks a table is in the way of all its documents: the lock is not waited for with each of them.
        let later = Instant::now() + BUSY;
        for flight in self
            .flights
            .values_mut()
            .filter(|flight| flight.vectorizer.id == vectorizer.id)
        {
            flight.not_before = flight.not_before.max(later);
        }
        Step::Busy(stage)
    }

    /// Does with a failed document what the class of the failure says.
    pub(super) fn settle(&mut self, vectorizer: &Vectorizer, item: &queue::Item, failure: Failure) -> Step {
        let retries = retry::retries(failure.step, vectorizer.config.loading.retries());
        let decision = retry::after_failure(failure.class, item.attempts, retries, rand::random());
        let settled = transaction::run(|| {
            let (hold, note) = transaction::acting_as(vectorizer.owner, || {
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
                        Decision::GiveUp => {
                            queue::give_up(vectorizer, item.number, item.lease, Some(item.version), &failure)
                        }
                    };
                (hold, note)
            });
            if note {
                catalog::record_error(
                    vectorizer.id,
                    Some(&vectorizer.config),
                    Some(&item.primary_key),
                    &failure,
                );
            }
            hold
        });
        if let Some(station) = self.station_mut(vectorizer.id) {
            station.has_notes = true;
        }
        match settled {
            Ok(Hold::Busy) => return Step::Busy(Stage::Settling { failure }),
            Ok(_) => (),
            Err(aborted) if error::is_lock_conflict(&aborted) => {
                return self.refused(vectorizer, &aborted, Stage::Settling { failure });
            }
            Err(aborted) if self.may_be_stale(vectorizer.id, &error::from_database(&aborted, failure.step)) => {
                return Step::Busy(Stage::Settling { failure });
            }
            // The lease runs out, and the document is taken again.
            Err(aborted) => {
                log!(
                    "ai: cannot note a failed document of vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                );
            }
        }
        match decision {
            Decision::Again { after, counted: true } => self.look_again(vectorizer.id, after),
            // Throttled: no document of this vectorizer fares better before then.
            Decision::Again { after, counted: false } => {
                if let Some(station) = self.station_mut(vectorizer.id) {
                    station.look_at = Some(Instant::now() + after);
                }
            }
            Decision::Pause => self.pause_vectorizer(vectorizer, &failure),
            Decision::GiveUp => self.look_again(vectorizer.id, Duration::ZERO),
        }
        Step::Done
    }
}
