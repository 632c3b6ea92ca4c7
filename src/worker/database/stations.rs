//! The vectorizers of a worker, and what is done with what was learnt about them:
//! `ai_pipeline::worker::station`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::error::{Class, Failure};
use ai_pipeline::worker::order::{self, Due};
use ai_pipeline::worker::station::{Facts, Sweep};
use pgrx::prelude::*;

use super::state::{VectorizerStation, Worker};
use crate::catalog::{self, Vectorizer};
use crate::postgres::error;
use crate::postgres::transaction::accounts;
use crate::store::queue::{self, TakenIn};
use crate::store::stash;
use crate::{settings, shared_memory};

/// How long a pause lasts that could not be written down, as the row that says so is locked: as
/// long as a first one.
const UNNOTED_PAUSE: Duration = Duration::from_secs(30);
/// How long until the next try to take back what is written down.
const LOCKED_NOTE: Duration = Duration::from_secs(1);

/// One that has just been read.
pub(super) fn of_new(vectorizer: Vectorizer) -> VectorizerStation {
    let facts = Facts {
        schedule: vectorizer.schedule,
        paused: vectorizer.paused,
        refusals: vectorizer.refusals,
        has_notes: vectorizer.has_notes,
        has_index: vectorizer.index.is_some(),
    };
    VectorizerStation::new(Arc::new(vectorizer), facts, Instant::now())
}

/// The places of those that are due, in the order of their turns.
pub(super) fn by_turns(
    stations: &[VectorizerStation],
    turn: usize,
    now: Instant,
    is_due: impl Fn(&VectorizerStation) -> bool,
) -> Vec<usize> {
    let due = stations.iter().enumerate().filter(|(_, station)| is_due(station));
    let due = due.map(|(index, station)| Due {
        index,
        owner: station.vectorizer.owner,
        is_paused: station.is_paused(),
    });
    order::by_turns(&due.collect::<Vec<_>>(), turn, |owner| accounts::spent(owner, now))
}

/// The intake of a station was emptied into its queue. Where it was read in vain, it is made anew
/// if that can be.
pub(super) fn took_in(station: &mut VectorizerStation, taken_in: &TakenIn) {
    let vectorizer = &station.vectorizer;
    let emptied = taken_in.is_full_of_dead
        && accounts::has_turn(vectorizer.owner)
        && vectorizer
            .transaction(|| vectorizer.act(|| queue::empty_intake(vectorizer)))
            .is_ok();
    station.took_in(taken_in.wasted, emptied, Instant::now());
}

impl Worker {
    /// Ends the pause of a vectorizer that has nothing left to try: nobody else would take back
    /// what is written down.
    pub(super) fn end_pause(&mut self, index: usize) {
        let station = &mut self.stations[index];
        if !station.is_paused() {
            return;
        }
        let id = station.vectorizer.id;
        match station.vectorizer.note(|| catalog::resume(id)) {
            Ok(()) => {
                station.resume();
                self.notes.forget(id);
            }
            Err(aborted) if error::is_lock_conflict(&aborted) => self.look_again(id, LOCKED_NOTE),
            Err(aborted) => log!(
                "ai: cannot note that vectorizer {} is not paused any more: {}",
                station.vectorizer.name,
                aborted.message
            ),
        }
    }

    /// Forgets vectors that were put aside of documents that were deleted since.
    pub(super) fn sweep(&mut self, index: usize) {
        let started = Instant::now();
        let station = &mut self.stations[index];
        let vectorizer = Arc::clone(&station.vectorizer);
        match station.sweep(started) {
            Sweep::None => return,
            Sweep::In(wait) => return self.look_again(vectorizer.id, wait),
            Sweep::Now => (),
        }
        if !accounts::has_turn(vectorizer.owner) {
            return self.look_again(vectorizer.id, LOCKED_NOTE);
        }
        // What cannot be forgotten now is by the next worker.
        let has_more = vectorizer.transaction(|| stash::sweep(&vectorizer)).unwrap_or(false);
        station.swept(has_more, started.elapsed(), Instant::now());
    }

    /// Stops a vectorizer whose configuration is at fault; one error row, whatever the number of
    /// documents.
    pub(super) fn pause_vectorizer(&mut self, vectorizer: &Arc<Vectorizer>, failure: &Failure) {
        let Some(station) = self.station(vectorizer.id) else {
            return;
        };
        if station.is_resting(Instant::now()) {
            return;
        }
        // It has just been mended, and what we have seen is what was there before.
        if shared_memory::is_mended(self.database, vectorizer.id) {
            self.rereads.found_stale(vectorizer.id);
            return;
        }
        let paused = vectorizer.note(|| {
            catalog::record_error(vectorizer.id, Some(&vectorizer.config), None, failure);
            catalog::pause(vectorizer.id, failure)
        });
        let wait = match paused {
            Ok(wait) => wait,
            Err(aborted) if error::is_lock_conflict(&aborted) => {
                let about = Arc::clone(vectorizer);
                self.notes.add(vectorizer.id, about, failure.clone(), Instant::now());
                UNNOTED_PAUSE
            }
            Err(aborted) => {
                log!(
                    "ai: cannot note why vectorizer {} is paused: {}",
                    vectorizer.name,
                    aborted.message
                );
                settings::naptime()
            }
        };
        if let Some(station) = self.station_mut(vectorizer.id) {
            station.pause(wait, Instant::now());
        }
    }

    /// Whether a failure may be due to names that have just changed.
    pub(super) fn may_be_stale(&mut self, id: i32, failure: &Failure) -> bool {
        failure.class == Class::Configuration && self.rereads.may_be_stale(id)
    }

    pub(super) fn station(&self, id: i32) -> Option<&VectorizerStation> {
        self.stations.iter().find(|station| station.vectorizer.id == id)
    }

    pub(super) fn station_mut(&mut self, id: i32) -> Option<&mut VectorizerStation> {
        self.stations.iter_mut().find(|station| station.vectorizer.id == id)
    }

    pub(super) fn look_again(&mut self, id: i32, after: Duration) {
        if let Some(station) = self.station_mut(id) {
            station.look_again(after, Instant::now());
        }
    }
}
