//! Changes that the queue refuses with an error, as no index of it holds their keys: they are found, named, and left
//! in the intake, so that the others come in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::error::Step;
use pgrx::prelude::*;

use super::Worker;
use super::claims::TAKE_IN;
use super::reads::is_of_a_row;
use crate::catalog::{self, Vectorizer};
use crate::postgres::transaction::Aborted;
use crate::postgres::{error, swallowed};
use crate::store::queue;

/// Of more than so many the queue itself is at fault.
const MOST_REFUSED: usize = 1000;
/// When they are tried again, with those that have taken their places.
const AGAIN: Duration = Duration::from_secs(3600);
/// How often to look whether the rows of some are gone, and of how many: to find a long key takes long.
const LOOK: Duration = Duration::from_secs(1);
const LOOKED_AT: usize = 10;

/// How much of an intake is put into the queue by one statement, and what of it is not.
pub(super) struct Refusals {
    /// One at a time after an error, and more again from there.
    pub(super) limit: usize,
    /// The places in the intake of what the queue has refused.
    pub(super) places: Vec<String>,
    since: Instant,
    looked: Instant,
}

impl Refusals {
    pub(super) fn none() -> Refusals {
        Refusals {
            limit: TAKE_IN,
            places: Vec::new(),
            since: Instant::now(),
            looked: Instant::now(),
        }
    }

    /// Some of it was put into the queue.
    pub(super) fn succeeded(&mut self) {
        self.limit = self.limit.saturating_mul(4).min(TAKE_IN);
        if self.since.elapsed() >= AGAIN {
            *self = Refusals::none();
        }
    }
}

impl Worker {
    /// Forgets changes that the queue has refused and whose rows are gone.
    pub(super) fn forget_refused(&mut self, index: usize, vectorizer: &Arc<Vectorizer>) {
        let refusals = &mut self.stations[index].refusals_of_intake;
        if refusals.places.is_empty() || refusals.looked.elapsed() < LOOK {
            return;
        }
        refusals.looked = Instant::now();
        let looked_at = refusals.places.len().min(LOOKED_AT);
        let places: Vec<String> = refusals.places[..looked_at].to_vec();
        refusals.places.rotate_left(looked_at);
        let forgotten = vectorizer.transaction(|| {
            let gone = vectorizer.act(|| queue::forget_changes(vectorizer, &places));
            for (_, key) in &gone {
                catalog::forgive(vectorizer.id, Some(key));
            }
            gone
        });
        // Those that cannot be looked at are, the next time.
        let gone = forgotten.unwrap_or_default();
        let is_gone = |place: &String| gone.iter().any(|(of, _)| of == place);
        self.stations[index]
            .refusals_of_intake
            .places
            .retain(|place| !is_gone(place));
    }

    /// The queue has refused changes for what is in them. Whether that is known by now, or soon will be: then the
    /// others are to be tried at once.
    pub(super) fn refused_changes(&mut self, index: usize, vectorizer: &Arc<Vectorizer>, aborted: &Aborted) -> bool {
        let refusals = &mut self.stations[index].refusals_of_intake;
        if !is_of_a_row(aborted) || swallowed::is(aborted) || refusals.places.len() >= MOST_REFUSED {
            return false;
        }
        if refusals.limit > 1 {
            refusals.limit = 1;
            return true;
        }
        let places = refusals.places.clone();
        let first = || queue::first_change(vectorizer, &places);
        let Ok(Some((place, key))) = vectorizer.transaction(|| vectorizer.act(first)) else {
            return false;
        };
        let failure = error::from_database(aborted, Step::Loading);
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
        station.refusals_of_intake.places.push(place);
        station.refusals_of_intake.limit = 2;
        true
    }
}
