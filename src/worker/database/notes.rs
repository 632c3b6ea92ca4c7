//! Notes about vectorizers that were in the way of a user's transaction are written down:
//! `ai_pipeline::worker::notes`.

use std::time::{Duration, Instant};

use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use super::duty::Duty;
use super::state::VectorizerStation;
use super::state::Worker;
use crate::catalog;
use crate::postgres::{error, transaction};
use crate::shared_memory;

/// What notes may take of one round of the worker.
const SLICE: Duration = Duration::from_millis(50);

/// Writes down what is due. Each note by itself: the one whose rows a user keeps locked waits, and
/// nobody with it.
pub(super) struct NoteWriter;

impl Duty for NoteWriter {
    fn due(&self, worker: &Worker) -> Option<Instant> {
        worker.notes.next_due()
    }

    fn run(&mut self, worker: &mut Worker) -> bool {
        let began = Instant::now();
        for id in worker.notes.due(began) {
            if began.elapsed() > SLICE {
                return true;
            }
            let Some(note) = worker.notes.take(id) else {
                continue;
            };
            // What we have seen is what was there before.
            if shared_memory::is_mended(worker.database, id) {
                worker.rereads.found_stale(id);
                continue;
            }
            if note.vectorizer.is_some() && !worker.station(id).is_some_and(VectorizerStation::is_paused) {
                continue;
            }
            // Those that cannot be read have no owner here, and one account together.
            let about = note.vectorizer.as_ref();
            let owner = about.map_or(Oid::INVALID, |vectorizer| vectorizer.owner);
            let written = transaction::run_for(owner, || {
                let config = about.map(|vectorizer| &vectorizer.config);
                catalog::record_error(id, config, None, &note.failure);
                catalog::pause(id, &note.failure)
            });
            match written {
                Ok(_) if note.vectorizer.is_none() => worker.notes.wrote(id, note.failure),
                Ok(wait) => {
                    if let Some(station) = worker.station_mut(id) {
                        station.pause_is_noted(wait, Instant::now());
                    }
                }
                Err(aborted) if error::is_lock_conflict(&aborted) => worker.notes.put_off(id, note, Instant::now()),
                Err(aborted) => log!("ai: cannot note why vectorizer {id} is paused: {}", aborted.message),
            }
        }
        false
    }
}
