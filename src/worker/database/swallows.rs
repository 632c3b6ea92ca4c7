//! Documents whose keys or leases the queue swallows: they are noted, and looked at again after a
//! while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::error::Step;
use pgrx::prelude::*;

use super::state::Worker;
use crate::catalog::{self, Vectorizer};
use crate::postgres::{error, swallowed};

impl Worker {
    /// Notes documents, by their primary keys, that the queue of a vectorizer has swallowed. How
    /// long until it is to be looked at again on their account; `None` where there are none.
    pub(super) fn note_swallowed(
        &mut self,
        index: usize,
        vectorizer: &Arc<Vectorizer>,
        keys: &[String],
    ) -> Option<Duration> {
        let station = &mut self.stations[index];
        let (wait, new) = station.swallows.met(keys, rand::random(), Instant::now())?;
        if new.is_empty() {
            return Some(wait);
        }
        station.has_notes = true;
        let noted = vectorizer.note(|| {
            let failure = swallowed::failure(&vectorizer.tables.queue, Step::Loading);
            for key in new {
                catalog::record_error(vectorizer.id, Some(&vectorizer.config), Some(key), &failure);
            }
        });
        if let Err(aborted) = noted
            && !error::is_lock_conflict(&aborted)
        {
            log!(
                "ai: cannot note what the queue of vectorizer {} has swallowed: {}",
                vectorizer.name,
                aborted.message
            );
        }
        Some(wait)
    }
}
