//! A vectorizer as its worker sees it: when to look at its queue, and what was learnt about it.

use std::time::{Duration, Instant};

use super::index::Watch;
use super::intake::{self, RefusedChanges};
use super::locks::{Locks, PATIENCE};
use super::swallows::Swallows;
use crate::retry::{self, MOST_REFUSALS};
use crate::schedule::Schedule;

/// How long until the next try to put those into the queue that a user's transaction was in the way
/// of.
pub const BLOCKED: Duration = Duration::from_secs(1);
/// However short the wait until something is due, there is a breath between two looks at the same
/// queue.
pub const BREATH: Duration = Duration::from_millis(50);
/// Forgetting what was put aside takes a hundredth of the time, as a divisor less one.
const OTHERS_OF_SWEEPS: u32 = 99;

/// What the catalogue says of a vectorizer that bears on when its worker does something.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// When its queue is worked on.
    pub schedule: Schedule,
    /// Its configuration was at fault: one document at a time after this long, until one succeeds.
    pub paused: Option<Duration>,
    /// How often the database has refused to have its documents taken or read, as is written down.
    pub refusals: u32,
    /// Something is written down about it.
    pub has_notes: bool,
    /// It builds an index.
    pub has_index: bool,
}

/// Why a vectorizer was read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has changed, or what its worker was told to look at anew: its tables, its servers, its
    /// pause.
    Own,
    /// Others have, and it is what it was.
    Others,
}

/// When to forget vectors that were put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// There are none, as far as is known.
    None,
    /// After this long.
    In(Duration),
    /// Now.
    Now,
}

/// A vectorizer `V`, when to look at its queue, and what was learnt about it.
#[derive(Clone, Debug)]
pub struct Station<V> {
    /// What it is the station of.
    pub vectorizer: V,
    /// `None`: the queue is empty, and what fills it wakes the worker.
    look_at: Option<Instant>,
    /// When it was last looked at, all that could be taken was: what is done since leaves nothing
    /// more to take. What waits in its intake has its own time.
    is_dry: bool,
    /// It is scheduled: `look_at` is the next one, and it works until the
    /// queue is dry.
    at_times: bool,
    /// Its configuration was at fault: nothing before this, then one document.
    paused_until: Option<Instant>,
    /// How often in a row the database has refused to have its documents taken, for another reason
    /// than a lock.
    refusals: u32,
    /// Until when it waits since the last of them. A commit has its queue looked at before: a
    /// refusal then says nothing new.
    refused_until: Option<Instant>,
    /// When to put what waits in its intake into its queue, where the queue is not looked at
    /// meanwhile.
    take_in_at: Option<Instant>,
    /// Not before this: a user's transaction was in the way, or it took long to find little.
    intake_not_before: Instant,
    /// Changes in its intake that the queue refuses.
    pub refused_changes: RefusedChanges,
    /// Documents that the queue swallows.
    pub swallows: Swallows,
    /// Locks of users that are in the way.
    pub locks: Locks,
    /// Those that were taken last had to be read one by one.
    reads_singly: bool,
    /// Something is written down about it, to be taken back when documents succeed.
    pub has_notes: bool,
    /// Vectors of its documents may be put aside, as far as is known.
    has_stash: bool,
    /// When to look next whose they are.
    sweep_not_before: Instant,
    /// When to look after its index.
    pub index: Watch,
}

impl<V> Station<V> {
    /// Of a vectorizer that has just been read, and of which nothing is known yet.
    pub fn new(vectorizer: V, facts: Facts, now: Instant) -> Station<V> {
        Station {
            vectorizer,
            look_at: match facts.schedule {
                Schedule::AtOnce => Some(now),
                Schedule::In(wait) => Some(now + wait),
                Schedule::Never => None,
            },
            is_dry: false,
            at_times: facts.schedule != Schedule::AtOnce,
            paused_until: facts.paused.map(|wait| now + wait),
            // The worker before may have left for as long as it was to wait.
            refusals: facts.refusals.min(MOST_REFUSALS),
            refused_until: None,
            take_in_at: Some(now),
            intake_not_before: now,
            refused_changes: RefusedChanges::none(now),
            swallows: Swallows::default(),
            locks: Locks::default(),
            reads_singly: false,
            has_notes: facts.has_notes,
            has_stash: true,
            sweep_not_before: now,
            index: Watch::new(facts.has_index && facts.schedule != Schedule::Never, now),
        }
    }

    /// Takes over what was known before it was read anew, as far as it holds.
    ///
    /// `is_unnoted` says that a pause of it is written down nowhere, so that only its worker knows.
    #[must_use]
    pub fn knowing(mut self, before: Station<V>, change: Change, is_unnoted: bool) -> Station<V> {
        let was_paused = before.paused_until.is_some();
        self.paused_until = self.paused_until.or(before.paused_until.filter(|_| is_unnoted));
        // What it was refused is noted beside a lock of a user only later: it has been said all the
        // same.
        self.refusals = self.refusals.max(before.refusals);
        if change == Change::Own {
            self.locks = before.locks.of_changed(self.at_times);
            return self;
        }
        // What a pause has kept from being looked at is looked at when it is over.
        let is_resumed = was_paused && self.paused_until.is_none();
        if !self.at_times && !before.at_times && !is_resumed {
            (self.look_at, self.is_dry) = (before.look_at, before.is_dry);
        }
        Station {
            refused_until: before.refused_until,
            take_in_at: before.take_in_at,
            intake_not_before: before.intake_not_before,
            refused_changes: before.refused_changes,
            swallows: before.swallows,
            locks: before.locks,
            reads_singly: before.reads_singly,
            has_stash: before.has_stash,
            sweep_not_before: before.sweep_not_before,
            index: self.index.knowing(before.index),
            ..self
        }
    }

    /// A session may have filled its queue or its intake, or it is time to look whether that is so.
    pub fn woken(&mut self, now: Instant) {
        self.take_in_at = Some(now);
        if !self.at_times {
            self.look_at = Some(now);
        }
    }

    /// A run was asked for, after so long.
    pub fn asked_to_run(&mut self, wait: Duration, has_index: bool, now: Instant) {
        self.look_at = Some(now + wait);
        if has_index {
            self.index.due_from(now);
        }
    }

    /// When its documents may be taken, if there are any; `None` where a session has to fill its
    /// queue first.
    pub fn due_at(&self) -> Option<Instant> {
        let waits = [self.paused_until, self.locks.until()];
        let look_at = self.look_at?;
        Some(waits.into_iter().flatten().fold(look_at, Instant::max))
    }

    /// Whether its documents may be taken now, if there are any.
    pub fn is_due(&self, now: Instant) -> bool {
        self.due_at().is_some_and(|at| at <= now)
    }

    /// When its intake is to be emptied by itself: a look at its queue does it anyway.
    pub fn takes_in_at(&self) -> Option<Instant> {
        let at = self.take_in_at.filter(|_| self.at_times || self.is_paused())?;
        let at = at.max(self.intake_not_before);
        Some(self.locks.until().map_or(at, |until| at.max(until)))
    }

    /// How long its intake is left alone when its queue is looked at.
    pub fn intake_waits(&self, now: Instant) -> Duration {
        self.intake_not_before.saturating_duration_since(now)
    }

    /// When something of it is due: its queue, its index or its intake.
    pub fn next_due(&self) -> Option<Instant> {
        let due = [self.due_at(), self.index.look_at(), self.takes_in_at()];
        due.into_iter().flatten().min()
    }

    /// Whether another worker would begin anew with something: it would not know that one at a time
    /// is enough, nor that rows are locked.
    pub fn must_be_remembered(&self) -> bool {
        self.locks.is_held_up() || self.locks.look_at().is_some()
    }

    /// Whether it is scheduled.
    pub fn is_at_times(&self) -> bool {
        self.at_times
    }

    /// Whether one document at a time finds out if its configuration is still at fault, now or
    /// later.
    pub fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }

    /// Whether nothing is tried yet for that reason.
    pub fn is_resting(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| until > now)
    }

    /// Whether one document shows whether it goes on: both a pause and a hold-up end when one
    /// succeeds.
    pub fn is_probing(&self) -> bool {
        self.is_paused() || self.locks.is_held_up()
    }

    /// Whether those that were taken last had to be read one by one.
    pub fn reads_singly(&self) -> bool {
        self.reads_singly
    }

    /// How often in a row its documents were not to be had.
    pub fn refusals(&self) -> u32 {
        self.refusals
    }

    /// Its configuration is at fault: nothing for so long.
    pub fn pause(&mut self, wait: Duration, now: Instant) {
        self.has_notes = true;
        self.paused_until = Some(now + wait);
        self.look_at = self.paused_until;
    }

    /// The pause could be written down at last, and lasts for so long from now on; if it has not
    /// ended.
    pub fn pause_is_noted(&mut self, wait: Duration, now: Instant) {
        self.paused_until = self.paused_until.map(|_| now + wait);
    }

    /// Its configuration may be well.
    pub fn resume(&mut self) {
        self.paused_until = None;
    }

    /// Its queue is looked at after so long, and not before.
    pub fn look_after(&mut self, wait: Duration, now: Instant) {
        self.look_at = Some(now + wait);
    }

    /// Its queue is looked at after so long at the latest. A run that has ended is not taken up
    /// again for a retry.
    pub fn look_again(&mut self, wait: Duration, now: Instant) {
        if self.at_times && self.look_at.is_none_or(|planned| planned > now) {
            return;
        }
        let at = now + wait;
        self.look_at = Some(self.look_at.map_or(at, |planned| planned.min(at)));
    }

    /// Its documents are about to be taken.
    pub fn begin_claim(&mut self) {
        self.is_dry = false;
    }

    /// Documents were taken, and the next are due after so long, or whenever a session fills the
    /// queue. `more`: as many as were asked for, so that others may be due now.
    pub fn claimed(&mut self, due: Option<Duration>, more: bool, now: Instant) {
        let wait = due.map(|wait| if more { wait } else { wait.max(BREATH) });
        let look_at = wait.map(|wait| now + wait);
        self.look_at = look_at.into_iter().chain(self.locks.look_at()).min();
    }

    /// The turn of its owner was over before all that was taken could be read. In the next one they
    /// are read one by one again.
    pub fn turn_was_short(&mut self, now: Instant) {
        self.reads_singly = true;
        self.look_after(BREATH, now);
    }

    /// What was taken could not be read because of a lock, and was given back, which is more than a
    /// look.
    pub fn could_not_read(&mut self, now: Instant) {
        let least = now + BLOCKED;
        self.look_at = Some(self.look_at.map_or(least, |at| at.max(least)));
    }

    /// What was taken was read: so many documents, and what waits in the intake came first, if it
    /// was to. `is_dry`: all that could be taken was.
    pub fn read(&mut self, documents: usize, took_in: bool, is_dry: bool) {
        self.locks.met_none();
        self.reads_singly &= documents == 0;
        // Not before they are read, too: what can be taken but not read would be tried every second
        // for ever.
        if took_in {
            self.refusals = 0;
            self.refused_until = None;
        }
        self.is_dry = is_dry;
    }

    /// The database did not let its documents be taken because of a lock. `took_in`: nor what waits
    /// in its intake.
    pub fn was_locked(&mut self, took_in: bool, now: Instant) {
        // Whatever was in the way: a document of the queue need not wait for a change of another.
        if took_in {
            self.intake_not_before = now + BLOCKED;
        }
        self.look_at = Some(self.locks.met(now));
    }

    /// The database refused for another reason, which may pass. Whether that is to be noted, and is
    /// the first time in a row; `None` where it says nothing new. `jitter` is uniform in 0..1.
    pub fn was_refused(&mut self, took_in: bool, jitter: f64, now: Instant) -> Option<bool> {
        if let Some(until) = self.refused_until.filter(|until| *until > now) {
            self.look_at = Some(until);
            return None;
        }
        let is_first = self.refusals == 0;
        self.refusals = (self.refusals + 1).min(MOST_REFUSALS);
        self.has_notes = true;
        let again = now + retry::backoff(self.refusals, jitter);
        self.refused_until = Some(again);
        self.look_at = Some(again);
        if took_in {
            // A key that the queue refuses keeps no document of the queue waiting.
            self.intake_not_before = again + BLOCKED;
        }
        Some(is_first)
    }

    /// A run goes on: its queue is looked at until it is dry.
    pub fn run_goes_on(&mut self, now: Instant) {
        self.look_after(BREATH, now);
    }

    /// A run has ended, and the next one comes after so long, if there is one.
    pub fn run_ended(&mut self, next: Option<Duration>, now: Instant) {
        self.look_at = next.map(|wait| now + wait);
    }

    /// Its intake is about to be emptied.
    pub fn begin_intake(&mut self) {
        self.take_in_at = None;
    }

    /// Its intake was emptied into its queue, and read in vain for so long. `emptied`: it was made
    /// anew, and is read in no time.
    pub fn took_in(&mut self, wasted: Duration, emptied: bool, now: Instant) {
        self.take_in_at = None;
        if let Some(rest) = intake::rest(wasted).filter(|_| !emptied) {
            self.intake_not_before = now + rest;
        }
    }

    /// Its intake is to be emptied again after so long.
    pub fn take_in_after(&mut self, wait: Duration, now: Instant) {
        self.take_in_at = Some(now + wait);
    }

    /// A lock was in the way of its intake.
    pub fn intake_was_locked(&mut self, now: Instant) {
        self.take_in_at = Some(self.locks.met(now).max(now + BLOCKED));
    }

    /// Documents of it were written: it works. `is_noted`: something about them is written down, as
    /// that texts of them were cut.
    pub fn written(&mut self, is_noted: bool) {
        self.resume();
        self.locks.written();
        self.has_notes |= is_noted;
    }

    /// Whether more may be taken when some are done, as far as is known.
    pub fn may_take_more(&self) -> bool {
        !self.is_dry || self.is_probing()
    }

    /// Vectors of its documents were put aside.
    pub fn put_aside(&mut self) {
        self.has_stash = true;
    }

    /// A document of it has failed, which is noted, and what was paid for is put aside.
    pub fn settled(&mut self) {
        self.has_notes = true;
        self.has_stash = true;
        // Where another is written, those that have changed meanwhile are taken, and those that
        // were put off are tried again.
        self.is_dry = false;
    }

    /// Documents were given back that a lock of a user has kept from being written.
    pub fn gave_back(&mut self, is_table: bool, now: Instant) {
        self.has_stash = true;
        // Where another is written, those that have changed meanwhile are taken.
        self.is_dry = false;
        self.locks.gave_back(is_table, self.at_times, now);
        if self.locks.is_held_up() {
            self.look_at = Some(now + PATIENCE);
        }
    }

    /// When to forget vectors that were put aside of documents that were deleted since.
    pub fn sweep(&self, now: Instant) -> Sweep {
        if !self.has_stash {
            return Sweep::None;
        }
        match self.sweep_not_before.saturating_duration_since(now) {
            wait if wait.is_zero() => Sweep::Now,
            wait => Sweep::In(wait),
        }
    }

    /// It was done, and took so long: a hundredth of the time, whatever is kept of documents that
    /// were given up.
    pub fn swept(&mut self, has_more: bool, took: Duration, now: Instant) {
        self.has_stash = has_more;
        self.sweep_not_before = now + took.saturating_mul(OTHERS_OF_SWEEPS);
    }
}

#[cfg(test)]
mod tests;
