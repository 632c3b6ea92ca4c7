//! When the index of a vectorizer is looked after, and which build makes way for another owner's.

use std::time::{Duration, Instant};

/// How often it is looked whether a build is in the way of a session. Half of Postgres' deadlock_timeout,
/// after which one of two who wait for each other is ended, and it might not be ours.
pub const MAKE_WAY: Duration = Duration::from_millis(500);
/// How often it is looked whether another owner's index is to be built while one is.
pub const LOOK: Duration = Duration::from_secs(5);
/// How long a build waits for locks when another owner's is to be built: as long as it has worked,
/// but at least this long. What it has done is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// When to look after the index of a vectorizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// `None`: there is one, or nothing has changed that could make it due.
    look_at: Option<Instant>,
    /// When it was last found to be there, or the destination too small for one.
    looked: Option<Instant>,
    /// It was there.
    is_ready: bool,
}

impl Watch {
    /// Of a vectorizer that has just been read; `is_due`: it builds an index, and works.
    pub fn new(is_due: bool, now: Instant) -> Watch {
        Watch {
            look_at: is_due.then_some(now),
            looked: None,
            is_ready: false,
        }
    }

    /// What was found before holds, but it is looked at when its vectorizer was read.
    #[must_use]
    pub fn knowing(self, before: Watch) -> Watch {
        Watch {
            look_at: self.look_at,
            ..before
        }
    }

    /// When to look whether it is to be built.
    pub fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Whether that is now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.look_at.is_some_and(|at| at <= now)
    }

    /// It is looked at now at the latest.
    pub fn due_from(&mut self, now: Instant) {
        self.look_at.get_or_insert(now);
    }

    /// It is looked at after so long.
    pub fn look_after(&mut self, wait: Duration, now: Instant) {
        self.look_at = Some(now + wait);
    }

    /// There is nothing to look after before something changes.
    pub fn rest(&mut self) {
        self.look_at = None;
    }

    /// It was there, or the destination too small for one. Where documents are written meanwhile,
    /// that may change within the naptime.
    pub fn looked(&mut self, is_ready: bool, is_written_to: bool, naptime: Duration, now: Instant) {
        (self.looked, self.is_ready) = (Some(now), is_ready);
        self.look_at = (is_written_to && !is_ready).then_some(now + naptime);
    }

    /// The queue ran dry: it may be due. What was found within a naptime is not looked for again.
    pub fn queue_ran_dry(&mut self, naptime: Duration, now: Instant) {
        let fresh_until = self.looked.map(|looked| looked + naptime);
        let at = match fresh_until.filter(|until| *until > now) {
            Some(_) if self.is_ready => return,
            Some(until) => until,
            None => now,
        };
        self.look_at = Some(self.look_at.map_or(at, |planned| planned.min(at)));
    }
}

/// What the indexer that runs has done until now.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// The process.
    pub pid: i32,
    worked: Duration,
    waited: Duration,
    /// An index of another owner is to be built.
    is_awaited: bool,
}

impl Build {
    /// By a process that has just been seen.
    pub fn new(pid: i32) -> Build {
        Build {
            pid,
            worked: Duration::ZERO,
            waited: Duration::ZERO,
            is_awaited: false,
        }
    }

    /// An index of another owner is to be built.
    pub fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// One is, from now on.
    pub fn await_it(&mut self) {
        self.is_awaited = true;
    }

    /// It was looked at once more, [`MAKE_WAY`] later, and waited for a lock or worked.
    pub fn seen(&mut self, waits: bool) {
        let spent = if waits { &mut self.waited } else { &mut self.worked };
        *spent = spent.saturating_add(MAKE_WAY);
    }

    /// Whether it is ended if it waits now. It is tried again when it was to be anyway.
    pub fn is_over(&self) -> bool {
        self.is_awaited && self.waited >= PATIENCE.max(self.worked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_found_holds_for_a_naptime() {
        let (now, naptime) = (Instant::now(), 60 * S);
        // It was there; documents are written; when it is looked at then, and when after the queue
        // ran dry.
        let table = [
            (true, false, None, None),
            (true, true, None, None),
            (false, false, None, Some(now + naptime)),
            (false, true, Some(now + naptime), Some(now + naptime)),
        ];
        for (is_ready, is_written_to, look_at, dry_at) in table {
            let mut watch = Watch::new(true, now);
            watch.looked(is_ready, is_written_to, naptime, now);
            assert_eq!(watch.look_at(), look_at, "{is_ready} {is_written_to}");
            watch.queue_ran_dry(naptime, now + S);
            assert_eq!(watch.look_at(), dry_at, "{is_ready} {is_written_to}");
            watch.queue_ran_dry(naptime, now + naptime);
            let at = watch.look_at().unwrap();
            assert_eq!(at, now + naptime, "it may have been dropped since");
        }
    }

    #[test]
    fn a_queue_that_runs_dry_brings_a_look_forward() {
        let now = Instant::now();
        let mut watch = Watch::new(false, now);
        assert!(!watch.is_due(now));
        watch.queue_ran_dry(60 * S, now);
        assert!(watch.is_due(now));
        watch.look_after(60 * S, now);
        watch.queue_ran_dry(60 * S, now + S);
        assert_eq!(watch.look_at(), Some(now + S));
        watch.rest();
        watch.due_from(now + 2 * S);
        watch.due_from(now + 3 * S);
        assert_eq!(watch.look_at(), Some(now + 2 * S));
    }

    #[test]
    fn a_build_makes_way_when_it_has_waited_as_long_as_it_has_worked() {
        // Seconds of work; for how many it waits before it is over.
        for (worked, waits) in [(0, 5), (3, 5), (5, 5), (60, 60)] {
            let mut build = Build::new(7);
            (0..worked * 2).for_each(|_| build.seen(false));
            let mut waited = 0;
            build.await_it();
            while !build.is_over() {
                build.seen(true);
                waited += 1;
            }
            assert_eq!(waited, waits * 2, "{worked} s");
        }
        let mut build = Build::new(7);
        (0..1000).for_each(|_| build.seen(true));
        assert!(!build.is_over(), "nobody waits for it");
    }
}
