//! Changes that the queue refuses with an error, as no index of it holds their keys: they are
//! found, named, and left in the intake, so that the others come in.

use std::sync::Arc;
use std::time::Instant;

use ai_pipeline::error::Step;
use ai_pipeline::worker::intake::RefusedSearch;
use pgrx::prelude::*;

use super::reads::is_of_a_row;
use super::state::Worker;
use crate::catalog::{self, Vectorizer};
use crate::postgres::aborted::Aborted;
use crate::postgres::{failure, swallowed};
use crate::store::queue;

impl Worker {
    /// Forgets changes that the queue has refused and whose rows are gone.
    pub(super) fn forget_refused(&mut self, index: usize, vectorizer: &Arc<Vectorizer>) {
        let places = self.stations[index].refused_changes.to_look_at(Instant::now());
        if places.is_empty() {
            return;
        }
        let forgotten = vectorizer.transaction(|| {
            let gone = vectorizer.act(|| queue::forget_changes(vectorizer, &places));
            for (_, key) in &gone {
                catalog::forgive(vectorizer.id, Some(key));
            }
            gone
        });
        // Those that cannot be looked at are, the next time.
        let gone = forgotten.unwrap_or_default();
        let is_gone = |place: &str| gone.iter().any(|(of, _)| of == place);
        self.stations[index].refused_changes.forget(is_gone);
    }

    /// The queue has refused changes for what is in them. Whether that is known by now, or soon
    /// will be: then the others are to be tried at once.
    pub(super) fn refused_changes(&mut self, index: usize, vectorizer: &Arc<Vectorizer>, aborted: &Aborted) -> bool {
        if !is_of_a_row(aborted) || swallowed::is(aborted) {
            return false;
        }
        let refused = &mut self.stations[index].refused_changes;
        match refused.search() {
            RefusedSearch::GiveUp => return false,
            RefusedSearch::Narrow => return true,
            RefusedSearch::Found => (),
        }
        let first = || queue::first_change(vectorizer, refused.places());
        let Ok(Some((place, key))) = vectorizer.transaction(|| vectorizer.act(first)) else {
            return false;
        };
        let failure = failure::from_database(aborted, Step::Loading);
        let note = || {
            catalog::record_error(vectorizer.id, Some(&vectorizer.config), Some(&key), &failure);
        };
        if let Err(aborted) = vectorizer.note(note) {
            log!(
                "ai: cannot note what the queue of vectorizer {} has refused: {}",
                vectorizer.name,
                aborted.message
            );
            return false;
        }
        let station = &mut self.stations[index];
        station.has_notes = true;
        station.refused_changes.add(place);
        true
    }
}
