//! What is to be written down about vectorizers, where that was in the way of a user's transaction.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::account;
use ai_pipeline::config::Config;
use ai_pipeline::error::Failure;
use litemap::LiteMap;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use super::Worker;
use super::stations::Station;
use crate::catalog::{self, Unusable, Vectorizer};
use crate::postgres::transaction;
use crate::shared_memory;

/// What notes may take of one round of the worker.
const SLICE: Duration = Duration::from_millis(50);

/// Why a vectorizer stands still.
#[derive(Debug)]
pub(super) struct Note {
    vectorizer: Option<Arc<Vectorizer>>,
    failure: Failure,
    not_before: Instant,
    tries: u32,
}

impl Note {
    pub(super) fn of(vectorizer: &Arc<Vectorizer>, failure: Failure) -> Note {
        Note {
            vectorizer: Some(Arc::clone(vectorizer)),
            failure,
            not_before: Instant::now() + account::after_conflict(1),
            tries: 1,
        }
    }

    fn config(&self) -> Option<&Config> {
        self.vectorizer.as_ref().map(|vectorizer| &vectorizer.config)
    }
}

/// Notes that are still to be written, one for each vectorizer at most.
#[derive(Debug, Default)]
pub(super) struct Notes {
    due: LiteMap<i32, Note>,
    /// Of vectorizers that cannot be worked on: what has been written. It is not written again whenever they are read.
    written: HashMap<i32, Failure>,
}

impl Notes {
    pub(super) fn add(&mut self, id: i32, note: Note) {
        self.due.entry(id).or_insert(note);
    }

    /// It is mended, or another fault is: what was written about it may be gone.
    pub(super) fn forget(&mut self, id: i32) {
        self.due.remove(&id);
        self.written.remove(&id);
    }

    pub(super) fn forget_all(&mut self) {
        *self = Notes::default();
    }

    /// These vectorizers were read, and some of them cannot be worked on.
    pub(super) fn read(&mut self, ids: &[i32], unusable: Vec<Unusable>) {
        let now = Instant::now();
        let mut failures: HashMap<i32, Failure> = unusable.into_iter().map(|one| (one.id, one.failure)).collect();
        for &id in ids {
            let failure = failures.remove(&id);
            if self.written.get(&id) != failure.as_ref() {
                self.written.remove(&id);
            }
            let is_outdated = |note: &Note| match &failure {
                Some(failure) => *failure != note.failure,
                None => note.vectorizer.is_none(),
            };
            if self.due.get(&id).is_some_and(is_outdated) {
                self.due.remove(&id);
            }
            if let Some(failure) = failure.filter(|_| !self.written.contains_key(&id)) {
                let note = Note {
                    vectorizer: None,
                    failure,
                    not_before: now,
                    tries: 0,
                };
                self.add(id, note);
            }
        }
    }

    /// Only these vectorizers are there.
    pub(super) fn retain(&mut self, there: &HashSet<i32>) {
        self.due.retain(|id, _| there.contains(id));
        self.written.retain(|id, _| there.contains(id));
    }

    /// Whether a pause of this vectorizer is known to nobody but this worker.
    pub(super) fn has(&self, id: i32) -> bool {
        self.due.contains_key(&id)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.values().map(|note| note.not_before).min()
    }
}

impl Worker {
    /// Writes down what is due. Each note by itself: the one whose rows a user keeps locked waits, and nobody with it.
    pub(super) fn write_notes(&mut self) {
        let began = Instant::now();
        let due = self.notes.due.iter().filter(|(_, note)| note.not_before <= began);
        let due: Vec<i32> = due.map(|(id, _)| *id).collect();
        for id in due {
            if began.elapsed() > SLICE {
                return;
            }
            let Some(mut note) = self.notes.due.remove(&id) else {
                continue;
            };
            // What we have seen is what was there before.
            if shared_memory::is_mended(self.database, id) {
                self.stale.insert(id);
                continue;
            }
            let is_paused = |station: &Station| station.paused_until.is_some();
            if note.vectorizer.is_some() && !self.station(id).is_some_and(is_paused) {
                continue;
            }
            // Those that cannot be read have no owner here, and one account together.
            let owner = note
                .vectorizer
                .as_ref()
                .map_or(Oid::INVALID, |vectorizer| vectorizer.owner);
            let written = transaction::run_for(owner, || {
                catalog::record_error(id, note.config(), None, &note.failure);
                catalog::pause(id, &note.failure)
            });
            match written {
                Ok(_) if note.vectorizer.is_none() => {
                    self.notes.written.insert(id, note.failure);
                }
                Ok(wait) => {
                    if let Some(station) = self.station_mut(id) {
                        station.paused_until = station.paused_until.map(|_| Instant::now() + wait);
                    }
                }
                Err(aborted) if crate::postgres::error::is_lock_conflict(&aborted) => {
                    note.tries = note.tries.saturating_add(1);
                    note.not_before = Instant::now() + account::after_conflict(note.tries);
                    self.notes.add(id, note);
                }
                Err(aborted) => log!("ai: cannot note why vectorizer {id} is paused: {}", aborted.message),
            }
        }
    }
}
