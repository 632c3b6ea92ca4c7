//! What has changed comes into queues that are not looked at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::worker::station::BLOCKED;
use pgrx::prelude::*;

use super::duty::Duty;
use super::state::VectorizerStation;
use super::state::{SLICE, Worker};
use super::stations::{by_turns, took_in};
use crate::postgres::error;
use crate::postgres::transaction::accounts;
use crate::store::queue;

/// Puts what has changed into the queues that are not looked at now: paused ones, and those that
/// are scheduled. The keys that the triggers append would be more than there are
/// documents, in time.
pub(super) struct IntakeMover;

impl Duty for IntakeMover {
    fn due(&self, worker: &Worker) -> Option<Instant> {
        worker.stations.iter().filter_map(VectorizerStation::takes_in_at).min()
    }

    fn run(&mut self, worker: &mut Worker) -> bool {
        let now = Instant::now();
        accounts::begin_turns();
        let is_due = |station: &VectorizerStation| station.takes_in_at().is_some_and(|at| at <= now);
        for index in by_turns(&worker.stations, worker.turn, now, is_due) {
            if now.elapsed() > SLICE {
                return true;
            }
            let station = &mut worker.stations[index];
            if !accounts::has_turn(station.vectorizer.owner) {
                continue;
            }
            station.begin_intake();
            let vectorizer = Arc::clone(&station.vectorizer);
            let refused = &station.refused_changes;
            let take_in = || queue::take_in(&vectorizer, refused.limit(), refused.places());
            let taken = vectorizer.transaction(|| vectorizer.act(take_in));
            match taken {
                Ok(taken_in) => {
                    took_in(station, &taken_in);
                    let until_again = worker.note_swallowed(index, &vectorizer, &taken_in.swallowed);
                    let station = &mut worker.stations[index];
                    station.refused_changes.succeeded(now);
                    if taken_in.more {
                        station.take_in_after(Duration::ZERO, now);
                    } else if taken_in.left_behind {
                        station.take_in_after(until_again.unwrap_or(BLOCKED), now);
                    }
                }
                Err(aborted) if error::is_lock_conflict(&aborted) => station.intake_was_locked(now),
                Err(aborted) if worker.refused_changes(index, &vectorizer, &aborted) => {
                    worker.stations[index].take_in_after(Duration::ZERO, now);
                }
                // The next claim of the queue says so where users see it.
                Err(aborted) => log!(
                    "ai: cannot take in what has changed for vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                ),
            }
        }
        false
    }
}
