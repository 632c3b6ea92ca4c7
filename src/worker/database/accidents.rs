//! What is not supposed to happen, and must be nobody's end: a panic on the main thread or in a
//! task, for want of memory above all. It is a failure of the documents that were at hand.

use std::sync::Arc;

use ai_pipeline::error::{self as pipeline, Class, Failure};
use ai_pipeline::panics::Panicked;
use pgrx::prelude::*;

use super::state::Worker;
use crate::catalog::Vectorizer;
use crate::postgres::aborted::Aborted;
use crate::postgres::panics;
use crate::postgres::transaction;
use crate::runtime::bridge::Task;
use crate::runtime::reservation::Reservations;
use crate::store::queue::Item;
use crate::worker;
use crate::worker::flight::{Event, Flight, Stage};

/// What is needed to note the failure of a document whose flight has been lost.
pub(super) struct Trace {
    number: u64,
    vectorizer: Arc<Vectorizer>,
    item: Item,
    suspect: bool,
    step: pipeline::Step,
}

impl Trace {
    pub(super) fn of(number: u64, flight: &Flight) -> Trace {
        Trace {
            number,
            vectorizer: Arc::clone(&flight.vectorizer),
            item: flight.item.without_content(),
            suspect: flight.suspect,
            step: flight.stage.pipeline_step(),
        }
    }
}

impl Worker {
    /// Does a step of the main thread with documents that it takes out of [`Worker::flights`].
    /// Where it panics, those that are not there again have failed.
    pub(super) fn guarded(&mut self, traces: Vec<Trace>, work: impl FnOnce(&mut Worker)) {
        let Err(aborted) = transaction::caught(|| work(self)) else {
            return;
        };
        log!("ai: a step of the worker broke off: {}", for_the_log(&aborted));
        for trace in traces {
            if self.flights.get(trace.number).is_some() {
                continue;
            }
            let failure = failure(&aborted, trace.step);
            // Of one that was done with before, the lease is not ours any more, and nothing is
            // noted.
            let flight = Flight {
                vectorizer: trace.vectorizer,
                item: trace.item,
                stage: Stage::failed(failure),
                not_before: std::time::Instant::now(),
                put_off: None,
                singly: true,
                suspect: trace.suspect,
                remembered: true,
                memory: Reservations::default(),
            };
            self.flights.put(trace.number, flight);
        }
    }

    /// Takes over what tasks have brought.
    pub(super) fn land_all(&mut self) {
        if panics::is_broken() {
            log!(
                "ai: an earlier failure has left something behind that cannot be mended: the worker ends, to be started again"
            );
            worker::end(1);
        }
        // Before their results are looked for: one that has ended has put its own there.
        let ended: Vec<u64> = if self.bridge.has_lost() {
            let ended = self.flights.iter().filter(|(_, flight)| has_ended(flight));
            ended.map(|(number, _)| number).collect()
        } else {
            Vec::new()
        };
        while let Some(event) = self.bridge.take() {
            self.land_guarded(event);
        }
        for number in ended {
            if let Some(flight) = self.flights.get_mut(number).filter(|flight| has_ended(flight)) {
                flight.memory = Reservations::default();
                flight.stage = Stage::failed(Panicked::Lost.failure(flight.stage.pipeline_step()));
            }
        }
    }

    fn land_guarded(&mut self, event: Event) {
        let number = event.flight;
        let trace = self.flights.get(number).map(|flight| Trace::of(number, flight));
        self.guarded(trace.into_iter().collect(), |worker| worker.land(event));
    }
}

fn has_ended(flight: &Flight) -> bool {
    flight.stage.task().is_some_and(Task::has_ended)
}

/// What a panic on the main thread means for a document.
fn failure(aborted: &Aborted, step: pipeline::Step) -> Failure {
    let is_memory = aborted.code == PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY;
    Failure {
        step,
        class: if is_memory { Class::Transient } else { Class::Unknown },
        reason: if is_memory {
            "out of memory".to_owned()
        } else {
            // What it says may quote the document.
            "the worker panicked".to_owned()
        },
        hint: Some(
            if is_memory {
                "lower ai.max_memory, or give the server more memory"
            } else {
                "the server log has the place: please report it"
            }
            .to_owned(),
        ),
    }
}

/// A message of ours; that of a panic may quote a document.
fn for_the_log(aborted: &Aborted) -> &str {
    match aborted.code {
        PgSqlErrorCode::ERRCODE_INTERNAL_ERROR => "it panicked",
        _ => &aborted.message,
    }
}
