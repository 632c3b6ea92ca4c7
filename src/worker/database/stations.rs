//! The vectorizers of a worker, and when to look at their queues.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::account;
use ai_pipeline::error::{Class, Failure};
use pgrx::prelude::*;

use super::Worker;
use super::claims::MOST_REFUSALS;
use super::notes::Note;
use super::refusals::Refusals;
use super::swallows::Swallows;
use crate::catalog::{self, Schedule, Vectorizer};
use crate::postgres::error;
use crate::postgres::transaction::accounts;
use crate::store::queue::{self, TakenIn};
use crate::store::stash;
use crate::{settings, shared_memory};

/// What it may take to find nothing in an intake before it is read more rarely.
const IN_VAIN: Duration = Duration::from_millis(20);

/// How long a conflict over a lock is taken for one that lasts.
const IN_THE_WAY: Duration = Duration::from_secs(1);

/// How often to look whether rows are free whose documents were given back as a user had them locked.
pub(super) const UNLOCKED: Duration = Duration::from_secs(2);

/// How long a pause lasts that could not be written down, as the row that says so is locked: as long as a first one.
const UNNOTED_PAUSE: Duration = Duration::from_secs(30);
/// How long until the next try to take back what is written down.
const LOCKED_NOTE: Duration = Duration::from_secs(1);

/// A vectorizer and when to look at its queue.
pub(super) struct Station {
    pub(super) vectorizer: Arc<Vectorizer>,
    /// `None`: the queue is empty, and whoever fills it wakes us.
    pub(super) look_at: Option<Instant>,
    /// When it was last looked at, all that could be taken was: what is done since leaves nothing more to
    /// take. What waits in its intake has its own time.
    pub(super) is_dry: bool,
    /// When to put what waits in its intake into its queue, where the queue is not looked at meanwhile.
    pub(super) take_in_at: Option<Instant>,
    /// Not before this: a user's transaction was in the way, or it took long to find little.
    pub(super) intake_not_before: Instant,
    /// Its configuration was at fault: nothing before this, then one document.
    pub(super) paused_until: Option<Instant>,
    /// How often in a row the database has refused to have its documents taken, for another reason than a lock.
    pub(super) refusals: u32,
    /// Until when it waits since the last of them. A commit has its queue looked at before: a refusal then
    /// says nothing new.
    pub(super) refused_until: Option<Instant>,
    pub(super) swallows: Swallows,
    pub(super) refusals_of_intake: Refusals,
    /// When a lock of a user was last in the way of its documents.
    pub(super) conflict_at: Option<Instant>,
    /// How often in a row, and until when it is left alone therefore.
    pub(super) conflicts: u32,
    pub(super) locked_until: Option<Instant>,
    /// For so long that they were given back: one at a time, until one is written.
    pub(super) is_held_up: bool,
    /// When to look whether rows are free by now whose documents were given back. `None`: there are none, as
    /// far as is known.
    pub(super) unlocked_look_at: Option<Instant>,
    /// Those that were taken last had to be read one by one.
    pub(super) reads_singly: bool,
    /// Its queue is worked on at times only: `look_at` is the next one, and it works until the queue is dry.
    pub(super) at_times: bool,
    /// Something is written down about it, to be taken back when documents succeed.
    pub(super) has_notes: bool,
    /// Vectors of its documents may be put aside, as far as is known.
    pub(super) has_stash: bool,
    /// When to look next whose they are.
    pub(super) sweep_not_before: Instant,
    /// When to look whether its index is to be built. `None`: there is one, or nothing has changed that could
    /// make it due.
    pub(super) index_look_at: Option<Instant>,
    /// When its index was last found to be there, or the destination too small for one.
    pub(super) index_looked: Option<Instant>,
    /// It was there.
    pub(super) index_ready: bool,
}

impl Station {
    /// Of a vectorizer that has just been read.
    pub(super) fn new(vectorizer: Vectorizer) -> Station {
        let now = Instant::now();
        Station {
            look_at: match vectorizer.schedule {
                Schedule::AtOnce => Some(now),
                Schedule::In(wait) => Some(now + wait),
                Schedule::Never => None,
            },
            is_dry: false,
            take_in_at: Some(now),
            intake_not_before: now,
            at_times: vectorizer.schedule != Schedule::AtOnce,
            paused_until: vectorizer.paused.map(|wait| now + wait),
            // The worker before may have left for as long as it was to wait.
            refusals: vectorizer.refusals.min(MOST_REFUSALS),
            refused_until: None,
            swallows: Swallows::default(),
            refusals_of_intake: Refusals::none(),
            conflict_at: None,
            conflicts: 0,
            locked_until: None,
            is_held_up: false,
            unlocked_look_at: None,
            reads_singly: false,
            has_notes: vectorizer.has_notes,
            has_stash: true,
            sweep_not_before: now,
            index_look_at: vectorizer
                .index
                .as_ref()
                .filter(|_| vectorizer.schedule != Schedule::Never)
                .map(|_| now),
            index_looked: None,
            index_ready: false,
            vectorizer: Arc::new(vectorizer),
        }
    }

    /// How many changes of its intake are put into its queue by one statement, and the places of those that are not.
    pub(super) fn what_to_take_in(&self) -> (usize, Vec<String>) {
        (self.refusals_of_intake.limit, self.refusals_of_intake.places.clone())
    }

    /// Whether a lock of a user is in the way of its documents, as far as is known.
    pub(super) fn is_in_the_way(&self, now: Instant) -> bool {
        // The longer it is, the more rarely it is looked at.
        let looked = self
            .conflict_at
            .map(|at| self.locked_until.map_or(at, |until| at.max(until)));
        looked.is_some_and(|at| now.saturating_duration_since(at) < IN_THE_WAY)
    }

    /// A lock of a user was in its way: until when it is left alone.
    pub(super) fn met_a_lock(&mut self, now: Instant) -> Instant {
        let until = match self.locked_until.filter(|until| *until > now) {
            // Of the same time.
            Some(until) => until,
            None => {
                self.conflicts = self.conflicts.saturating_add(1);
                now + account::after_conflict(self.conflicts)
            }
        };
        self.locked_until = Some(until);
        until
    }

    /// Nothing is in its way.
    pub(super) fn met_no_lock(&mut self) {
        (self.conflicts, self.locked_until) = (0, None);
    }

    /// It was looked whether rows are free by now, which took so long: when to look next, where any are
    /// locked still. A twentieth of the time at most.
    pub(super) fn looked_for_unlocked(&mut self, some_are_locked: bool, took: Duration) {
        let next = Instant::now() + UNLOCKED.max(19 * took);
        self.unlocked_look_at = some_are_locked.then_some(next);
    }

    /// When its intake is to be emptied by itself: whoever looks at its queue does it anyway.
    pub(super) fn takes_in_at(&self) -> Option<Instant> {
        let at = self.take_in_at.filter(|_| self.at_times || self.paused_until.is_some());
        let at = at.map(|at| at.max(self.intake_not_before));
        at.map(|at| self.locked_until.map_or(at, |until| at.max(until)))
    }

    /// Its intake was emptied into its queue.
    pub(super) fn took_in(&mut self, taken_in: &TakenIn) {
        self.take_in_at = None;
        let vectorizer = &self.vectorizer;
        let emptied = taken_in.is_full_of_dead
            && accounts::has_turn(vectorizer.owner)
            && vectorizer
                .transaction(|| vectorizer.act(|| queue::empty_intake(vectorizer)))
                .is_ok();
        // A tenth of the time, whatever has to be read in vain.
        if taken_in.wasted > IN_VAIN && !emptied {
            self.intake_not_before = Instant::now() + 9 * taken_in.wasted.min(Duration::from_secs(10));
        }
    }
}

impl Worker {
    /// Ends the pause of a vectorizer that has nothing left to try: nobody else would take back what is written down.
    pub(super) fn end_pause(&mut self, index: usize) {
        let station = &mut self.stations[index];
        if station.paused_until.is_none() {
            return;
        }
        let id = station.vectorizer.id;
        match station.vectorizer.note(|| catalog::resume(id)) {
            Ok(()) => {
                station.paused_until = None;
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
        if !station.has_stash {
            return;
        }
        let wait = station.sweep_not_before.saturating_duration_since(started);
        if !wait.is_zero() {
            let id = station.vectorizer.id;
            return self.look_again(id, wait);
        }
        let vectorizer = &station.vectorizer;
        if !accounts::has_turn(vectorizer.owner) {
            let id = vectorizer.id;
            return self.look_again(id, LOCKED_NOTE);
        }
        // What cannot be forgotten now is by the next worker.
        station.has_stash = vectorizer.transaction(|| stash::sweep(vectorizer)).unwrap_or(false);
        // A hundredth of the time, whatever is kept of documents that were given up.
        station.sweep_not_before = Instant::now() + 99 * started.elapsed();
    }

    /// Stops a vectorizer whose configuration is at fault; one error row, whatever the number of documents.
    pub(super) fn pause_vectorizer(&mut self, vectorizer: &Arc<Vectorizer>, failure: &Failure) {
        let Some(station) = self.station(vectorizer.id) else {
            return;
        };
        if station.paused_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        // It has just been mended, and what we have seen is what was there before.
        if shared_memory::is_mended(self.database, vectorizer.id) {
            self.stale.insert(vectorizer.id);
            return;
        }
        let paused = vectorizer.note(|| {
            catalog::record_error(vectorizer.id, Some(&vectorizer.config), None, failure);
            catalog::pause(vectorizer.id, failure)
        });
        let wait = match paused {
            Ok(wait) => wait,
            Err(aborted) if error::is_lock_conflict(&aborted) => {
                self.notes.add(vectorizer.id, Note::of(vectorizer, failure.clone()));
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
            station.has_notes = true;
            station.paused_until = Some(Instant::now() + wait);
            station.look_at = Some(Instant::now() + wait);
        }
    }

    /// Whether a failure may be due to names that have just changed. Once for each time that they do: the
    /// vectorizers are read anew, and if the database refuses again, it is a failure.
    pub(super) fn may_be_stale(&mut self, id: i32, failure: &Failure) -> bool {
        let stale =
            failure.class == Class::Configuration && self.refused.insert(id, self.generation) != Some(self.generation);
        if stale {
            self.stale.insert(id);
        }
        stale
    }

    pub(super) fn station(&self, id: i32) -> Option<&Station> {
        self.stations.iter().find(|station| station.vectorizer.id == id)
    }

    pub(super) fn station_mut(&mut self, id: i32) -> Option<&mut Station> {
        self.stations.iter_mut().find(|station| station.vectorizer.id == id)
    }

    pub(super) fn look_again(&mut self, id: i32, after: Duration) {
        let at = Instant::now() + after;
        if let Some(station) = self.station_mut(id)
            // A run that has ended is not taken up again for a retry.
            && !(station.at_times && station.look_at.is_none_or(|planned| planned > Instant::now()))
        {
            station.look_at = Some(station.look_at.map_or(at, |planned| planned.min(at)));
        }
    }
}
