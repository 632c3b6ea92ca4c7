//! When a vectorizer's index is looked after. It is built by another process.

use std::sync::Arc;
use std::time::Instant;

use pgrx::prelude::*;

use super::Worker;
use crate::index::{self, Verdict};
use crate::worker::{indexer, shared_memory};
use crate::{settings, transaction};

impl Worker {
    /// Looks after the indexes that may be due, and has one built.
    pub(super) fn watch_indexes(&mut self) {
        let now = Instant::now();
        for position in 0..self.stations.len() {
            if self.stations[position].index_look_at.is_some_and(|at| at <= now) {
                self.watch_index(position, now);
            }
        }
    }

    fn watch_index(&mut self, position: usize, now: Instant) {
        let vectorizer = Arc::clone(&self.stations[position].vectorizer);
        let Some(index) = &vectorizer.index else {
            self.stations[position].index_look_at = None;
            return;
        };
        let mut building = false;
        shared_memory::change(self.database, |slot| {
            building = slot.indexer.pid != 0 || slot.indexer_asked != 0
        });
        if building {
            // Its end wakes us and has everything read anew; this is for one that never came up.
            self.stations[position].index_look_at = Some(now + settings::naptime());
            return;
        }
        let verdict = transaction::run(|| index::look(&vectorizer, index));
        let works = self
            .flights
            .values()
            .any(|flight| flight.vectorizer.id == vectorizer.id);
        let station = &mut self.stations[position];
        let again = Some(now + settings::naptime());
        station.index_look_at = match verdict {
            Ok(Verdict::Ready) => None,
            // The end of the queue has us look again.
            Ok(Verdict::QueueFirst) => None,
            Ok(Verdict::TooFew) => {
                station.index_counted = Some(now);
                if works { again } else { None }
            }
            Ok(Verdict::UnderWay) => again,
            Ok(Verdict::After(wait)) => Some(now + wait),
            Ok(Verdict::Build { .. }) => {
                if let Err(reason) = indexer::start(self.database, &vectorizer) {
                    log!("ai: cannot start an indexer: {reason}");
                }
                again
            }
            Err(aborted) => {
                log!(
                    "ai: cannot look after the index of vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                );
                again
            }
        };
    }

    /// The queue of a vectorizer ran dry: its index may be due. A count that was made a short while ago is good enough.
    pub(super) fn look_after_index(&mut self, position: usize) {
        let station = &mut self.stations[position];
        if station.vectorizer.index.is_some() {
            let counted = station.index_counted.map(|counted| counted + settings::naptime());
            let at = counted.unwrap_or_else(Instant::now);
            station.index_look_at = Some(station.index_look_at.map_or(at, |planned| planned.min(at)));
        }
    }
}
