//! Documents whose keys or leases the queue swallows: they are noted, and looked at again after a while.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::error::Step;
use ai_pipeline::retry;
use pgrx::prelude::*;

use super::Worker;
use super::claims::MOST_REFUSALS;
use crate::catalog::{self, Vectorizer};
use crate::postgres::{error, swallowed};

/// What the queue of a vectorizer swallows at present.
#[derive(Default)]
pub(super) struct Swallows {
    /// How often in a row that was noted.
    times: u32,
    /// It is not noted again before. What is swallowed for the first time is, at any time.
    until: Option<Instant>,
    /// Of the keys that were noted.
    noted: HashSet<u64>,
    hasher: RandomState,
}

impl Worker {
    /// Notes documents, by their primary keys, that the queue of a vectorizer has swallowed. How long until it is to
    /// be looked at again on their account; `None` where there are none.
    pub(super) fn note_swallowed(
        &mut self,
        index: usize,
        vectorizer: &Arc<Vectorizer>,
        keys: &[String],
    ) -> Option<Duration> {
        let now = Instant::now();
        let station = &mut self.stations[index];
        if keys.is_empty() {
            station.swallows = Swallows::default();
            return None;
        }
        let swallows = &mut station.swallows;
        let wait = match swallows.until.filter(|until| *until > now) {
            Some(until) => until.saturating_duration_since(now),
            None => {
                swallows.noted.clear();
                swallows.times = (swallows.times + 1).min(MOST_REFUSALS);
                let wait = retry::backoff(swallows.times, rand::random());
                swallows.until = Some(now + wait);
                wait
            }
        };
        let is_new = |key: &&String| swallows.noted.insert(swallows.hasher.hash_one(key));
        let new: Vec<&String> = keys.iter().filter(is_new).collect();
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
