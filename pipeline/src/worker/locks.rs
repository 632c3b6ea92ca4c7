//! Locks of users that are in the way of the documents of a vectorizer: for how long it is left
//! alone.

use std::time::{Duration, Instant};

use crate::account;

/// How long a conflict over a lock is taken for one that lasts.
const IN_THE_WAY: Duration = Duration::from_secs(1);

/// How often to look whether rows are free whose documents were given back as a user had them
/// locked.
pub const UNLOCKED: Duration = Duration::from_secs(2);

/// For how long a document that a lock keeps from being written stays in the worker's hands, and
/// how long one document at a time waits before it finds out whether a table is free.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of the locks that are in the way of a vectorizer.
///
/// ```
/// use std::time::{Duration, Instant};
/// use ai_pipeline::worker::locks::Locks;
/// let (mut locks, now) = (Locks::default(), Instant::now());
/// assert!(!locks.is_locked(now));
/// let until = locks.met(now);
/// assert!(locks.is_locked(now) && !locks.is_locked(until));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    /// When one was last in the way of a document in flight.
    conflict_at: Option<Instant>,
    /// How often in a row one was met, and until when the vectorizer is left alone therefore.
    conflicts: u32,
    until: Option<Instant>,
    /// For so long that documents were given back: one at a time, until one is written.
    is_held_up: bool,
    /// When to look whether rows are free by now whose documents were given back. `None`: there are
    /// none, as far as is known.
    look_at: Option<Instant>,
}

impl Locks {
    /// Until when the vectorizer is left alone, also when that is over.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether the vectorizer is left alone.
    pub fn is_locked(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }

    /// Whether documents were given back because of a lock of a table, and none has been written
    /// since.
    pub fn is_held_up(&self) -> bool {
        self.is_held_up
    }

    /// When to look whether rows are free by now.
    pub fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Whether it is time for that.
    pub fn is_look_due(&self, now: Instant) -> bool {
        self.look_at.is_some_and(|at| at <= now)
    }

    /// Whether a lock is in the way of its documents, as far as is known.
    pub fn is_in_the_way(&self, now: Instant) -> bool {
        // The longer it is, the more rarely it is looked at.
        let looked = self.conflict_at.map(|at| self.until.map_or(at, |until| at.max(until)));
        looked.is_some_and(|at| now.saturating_duration_since(at) < IN_THE_WAY)
    }

    /// A lock was in the way: until when the vectorizer is left alone.
    pub fn met(&mut self, now: Instant) -> Instant {
        let until = match self.until.filter(|until| *until > now) {
            // Of the same time.
            Some(until) => until,
            None => {
                self.conflicts = self.conflicts.saturating_add(1);
                now + account::after_conflict(self.conflicts)
            }
        };
        self.until = Some(until);
        until
    }

    /// The same of a document in flight: what is written to is locked.
    pub fn met_in_flight(&mut self, now: Instant) -> Instant {
        self.conflict_at = Some(now);
        self.met(now)
    }

    /// Nothing is in the way.
    pub fn met_none(&mut self) {
        (self.conflicts, self.until) = (0, None);
    }

    /// A document was written.
    pub fn written(&mut self) {
        (self.conflict_at, self.is_held_up) = (None, false);
        self.met_none();
    }

    /// The queue is empty: nothing is left that is held up.
    pub fn nothing_is_left(&mut self) {
        self.is_held_up = false;
    }

    /// Documents were given back, as a lock of a table or of their rows has lasted. Rows of a queue
    /// that is scheduled are not looked at meanwhile.
    pub fn gave_back(&mut self, is_table: bool, at_times: bool, now: Instant) {
        self.is_held_up |= is_table;
        if !is_table && !at_times {
            self.look_at.get_or_insert(now + UNLOCKED);
        }
    }

    /// It was looked whether rows are free by now, which took so long: when to look next, where any
    /// are locked still. A twentieth of the time at most.
    pub fn looked(&mut self, some_are_locked: bool, took: Duration, now: Instant) {
        self.look_at = some_are_locked.then(|| now + UNLOCKED.max(took.saturating_mul(19)));
    }

    /// What holds of it when the vectorizer has changed: a lock that was met may be over, but to
    /// have the vectorizer read anew, again and again, must not have it tried each time.
    #[must_use]
    pub fn of_changed(self, at_times: bool) -> Locks {
        Locks {
            conflict_at: None,
            is_held_up: false,
            look_at: self.look_at.filter(|_| !at_times),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_table_that_stays_locked_is_tried_more_and_more_rarely() {
        let (mut locks, mut now) = (Locks::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..7 {
            let until = locks.met(now);
            waits.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn conflicts_of_the_same_time_are_one() {
        let (mut locks, now) = (Locks::default(), Instant::now());
        let until = locks.met(now);
        assert_eq!(locks.met(now + 199 * MS), until);
        assert_eq!(locks.met(until), until + 400 * MS, "the second one is of another time");
        locks.met_none();
        assert!(!locks.is_locked(now));
        assert_eq!(locks.met(now), now + 200 * MS, "the first one again");
    }

    #[test]
    fn a_conflict_is_in_the_way_for_a_second_after_it_was_last_looked_at() {
        let now = Instant::now();
        let mut locks = Locks::default();
        assert!(!locks.is_in_the_way(now));
        locks.met(now);
        assert!(!locks.is_in_the_way(now), "of the queue, and of no document in flight");
        let until = locks.met_in_flight(now);
        for (after, is_in_the_way) in [(0, true), (999, true), (1000, false)] {
            assert_eq!(locks.is_in_the_way(until + after * MS), is_in_the_way, "{after} ms");
        }
        // Met without being left alone for it.
        locks.met_none();
        assert!(locks.is_in_the_way(now + 999 * MS) && !locks.is_in_the_way(now + 1000 * MS));
        locks.written();
        assert!(!locks.is_in_the_way(now));
    }

    #[test]
    fn what_was_given_back_for_a_table_goes_one_at_a_time_and_for_a_row_is_looked_at() {
        let now = Instant::now();
        // A table, at times; held up, to be looked at.
        let table = [
            (true, false, true, None),
            (true, true, true, None),
            (false, false, false, Some(now + UNLOCKED)),
            (false, true, false, None),
        ];
        for (is_table, at_times, is_held_up, look_at) in table {
            let mut locks = Locks::default();
            locks.gave_back(is_table, at_times, now);
            assert_eq!(
                (locks.is_held_up(), locks.look_at()),
                (is_held_up, look_at),
                "{is_table} {at_times}"
            );
        }
        let mut locks = Locks::default();
        locks.gave_back(true, false, now);
        locks.gave_back(false, false, now);
        locks.gave_back(false, false, now + UNLOCKED / 2);
        assert!(locks.is_held_up(), "a row that is locked does not free a table");
        assert_eq!(locks.look_at(), Some(now + UNLOCKED), "the first of them counts");
        locks.written();
        assert!(!locks.is_held_up());
        assert!(locks.is_look_due(now + UNLOCKED), "other rows may be locked still");
    }

    #[test]
    fn looks_for_free_rows_take_a_twentieth_of_the_time() {
        let now = Instant::now();
        let mut locks = Locks::default();
        for (took, wait) in [(1, 2000), (100, 2000), (200, 3800), (10_000, 190_000)] {
            locks.looked(true, took * MS, now);
            assert_eq!(locks.look_at(), Some(now + wait * MS), "{took} ms");
        }
        locks.looked(false, MS, now);
        assert_eq!(locks.look_at(), None);
        assert!(!locks.is_look_due(now + UNLOCKED * 100));
    }

    #[test]
    fn who_alters_a_vectorizer_again_and_again_has_no_lock_tried_sooner() {
        let now = Instant::now();
        let mut locks = Locks::default();
        let until = locks.met_in_flight(now);
        locks.gave_back(true, false, now);
        locks.gave_back(false, false, now);
        let kept = locks.of_changed(false);
        assert_eq!((kept.until(), kept.look_at()), (Some(until), Some(now + UNLOCKED)));
        assert!(!kept.is_in_the_way(now) && !kept.is_held_up());
        assert_eq!({ kept }.met(until), until + 400 * MS, "the second in a row");
        assert_eq!(locks.of_changed(true).look_at(), None, "it is scheduled from now on");
    }
}
