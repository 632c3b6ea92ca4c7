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
use crate::worker::job::{Job, Stage, TaskEvent};

/// What is needed to note the failure of a document whose job has been lost.
pub(super) struct Trace {
    number: u64,
    vectorizer: Arc<Vectorizer>,
    item: Item,
    suspect: bool,
    step: pipeline::Step,
}

impl Trace {
    pub(super) fn of(number: u64, job: &Job) -> Trace {
        Trace {
            number,
            vectorizer: Arc::clone(&job.vectorizer),
            item: job.item.without_content(),
            suspect: job.suspect,
            step: job.stage.pipeline_step(),
        }
    }
}

impl Worker {
    /// Does a step of the main thread with documents that it takes out of [`Worker::jobs`].
    /// Where it panics, those that are not there again have failed.
    pub(super) fn guarded(&mut self, traces: Vec<Trace>, work: impl FnOnce(&mut Worker)) {
        let Err(aborted) = transaction::caught(|| work(self)) else {
            return;
        };
        log!("ai: a step of the worker broke off: {}", for_the_log(&aborted));
        for trace in traces {
            if self.jobs.get(trace.number).is_some() {
                continue;
            }
            let failure = failure(&aborted, trace.step);
            // Of one that was done with before, the lease is not ours any more, and nothing is
            // noted.
            let job = Job {
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
            self.jobs.put(trace.number, job);
        }
    }

    /// Takes over what tasks have brought.
    pub(super) fn take_results(&mut self) {
        if panics::is_broken() {
            log!(
                "ai: an earlier failure has left something behind that cannot be mended: the worker ends, to be started again"
            );
            worker::end(1);
        }
        // Before their results are looked for: one that has ended has put its own there.
        let ended: Vec<u64> = if self.bridge.has_lost() {
            let ended = self.jobs.iter().filter(|(_, job)| has_ended(job));
            ended.map(|(number, _)| number).collect()
        } else {
            Vec::new()
        };
        while let Some(event) = self.bridge.take() {
            self.take_result_guarded(event);
        }
        for number in ended {
            if let Some(job) = self.jobs.get_mut(number).filter(|job| has_ended(job)) {
                job.memory = Reservations::default();
                job.stage = Stage::failed(Panicked::Lost.failure(job.stage.pipeline_step()));
            }
        }
    }

    fn take_result_guarded(&mut self, event: TaskEvent) {
        let number = event.job;
        let trace = self.jobs.get(number).map(|job| Trace::of(number, job));
        self.guarded(trace.into_iter().collect(), |worker| worker.take_result(event));
    }
}

fn has_ended(job: &Job) -> bool {
    job.stage.task().is_some_and(Task::has_ended)
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
