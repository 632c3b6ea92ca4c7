//! What a statement that concerned all vectorizers has left for later, as something of theirs was locked.

use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::duty::Duty;
use super::state::Worker;
use crate::postgres::error::is_lock_conflict;
use crate::postgres::transaction;
use crate::shared_memory::News;
use crate::vectorizer::refresh;

/// How long after it was tried in vain it is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Has triggers follow what was altered while they were locked: of one vectorizer in a round.
pub(super) struct Follower;

impl Duty for Follower {
    fn due(&self, worker: &Worker) -> Option<Instant> {
        let of_known = worker.left.iter().filter(|(id, _)| worker.station(**id).is_some());
        of_known.map(|(_, not_before)| *not_before).min()
    }

    fn run(&mut self, worker: &mut Worker) -> bool {
        worker.follow_left();
        !worker.left.is_empty()
    }
}

impl Worker {
    /// Learns which have been left.
    pub(super) fn hear_of_left(&mut self, news: &News) {
        let all: Vec<i32> = if news.left.is_all() {
            self.stations.iter().map(|station| station.vectorizer.id).collect()
        } else {
            news.left.apart().to_vec()
        };
        let now = Instant::now();
        self.left.extend(all.into_iter().map(|id| (id, now)));
    }

    /// Has the triggers of one of them follow, on the account of its owner. One that cannot be worked on waits
    /// until it can.
    fn follow_left(&mut self) {
        let now = Instant::now();
        let due = self.left.iter().find(|(_, not_before)| **not_before <= now);
        let Some(id) = due.map(|(id, _)| *id) else {
            return;
        };
        let Some(owner) = self.station(id).map(|station| station.vectorizer.owner) else {
            self.left.insert(id, now + AGAIN);
            return;
        };
        match transaction::run_for(owner, || refresh::follow_left(id)) {
            Ok(()) => _ = self.left.remove(&id),
            Err(aborted) if is_lock_conflict(&aborted) => _ = self.left.insert(id, now + AGAIN),
            Err(aborted) => {
                self.left.remove(&id);
                log!("ai: the triggers of vectorizer {id} cannot follow: {}", aborted.message);
            }
        }
    }
}
