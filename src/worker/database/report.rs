//! What a worker says about itself, in shared memory.

use std::time::Instant;

use ai_pipeline::worker::activity;
use pgrx::prelude::*;

use super::duty::Duty;
use super::state::Worker;
use crate::shared_memory;

/// Says what is going on.
#[derive(Default)]
pub(super) struct Reporter {
    /// That parsers are not confined is in the log.
    said_unconfined: bool,
}

impl Duty for Reporter {
    fn due(&self, _worker: &Worker) -> Option<Instant> {
        // After each round, of which a worker that works makes one in a second at least.
        None
    }

    fn run(&mut self, worker: &mut Worker) -> bool {
        if !self.said_unconfined
            && let Some(missing) = worker.services.unconfined()
        {
            log!("ai: parsers run without some of their confinement: {missing}");
            self.said_unconfined = true;
        }
        let activity = activity::activity(worker.jobs.values().map(|job| job.stage.work()));
        let throttled = worker
            .services
            .throttled_until()
            .and_then(|until| until.elapsed().err());
        let throttled = throttled.map(|wait| wait.duration());
        let reason = activity::reason(throttled, worker.services.limited_for(), worker.services.unconfined());
        shared_memory::worker_reports(
            worker.database,
            &activity,
            worker.jobs.len(),
            &reason.unwrap_or_default(),
        );
        false
    }
}
