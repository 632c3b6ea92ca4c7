//! When the launcher starts a worker: decisions without a clock of their own.
//!
//! Times are microseconds of one clock (Postgres' `TimestampTz` in the shell, anything in tests).

/// Wait after the first failed start of a worker, in microseconds. Doubles with each further one.
pub const FIRST_BACKOFF: i64 = 5_000_000;
/// No failed start waits longer than this: five minutes, in microseconds.
pub const GREATEST_BACKOFF: i64 = 300_000_000;
/// A worker that lived this long had started well, whatever ended it: one minute, in microseconds.
pub const HEALTHY: i64 = 60_000_000;
/// For how long a worker need not make room for another database that waits: ten seconds, in microseconds.
pub const TURN: i64 = 10_000_000;

/// What the launcher knows of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// A worker was asked for, or none has looked into the database yet.
    pub woken: bool,
    /// A worker is there or on its way.
    pub running: bool,
    /// When the next document is due, or when the database is looked at just to be sure.
    pub next_due: Option<i64>,
    /// No start before this.
    pub not_before: i64,
}

/// Vectorizers whose names are kept apart in a [`WantedWork`]: 32, as many as may be fed at the same moment in a
/// database where it matters. Beyond that, looking at all of them is no waste.
const APART: usize = 32;

/// For which vectorizers there may be work: none, a few, or all of a database. Of fixed size, for shared memory.
///
/// ```
/// use ai_pipeline::launch::WantedWork;
/// let mut wanted = WantedWork::NONE;
/// wanted.add(7);
/// assert!(wanted.has(7) && !wanted.has(8) && !wanted.is_none());
/// wanted.join(WantedWork::ALL);
/// assert!(wanted.has(8) && wanted.is_all());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct WantedWork {
    ids: [i32; APART],
    /// More than there is room for: all.
    count: usize,
}

impl WantedWork {
    /// For none.
    pub const NONE: WantedWork = WantedWork {
        ids: [0; APART],
        count: 0,
    };
    /// For all.
    pub const ALL: WantedWork = WantedWork {
        ids: [0; APART],
        count: APART + 1,
    };

    /// For this one, too.
    pub fn add(&mut self, vectorizer: i32) {
        if self.has(vectorizer) {
            return;
        }
        match self.ids.get_mut(self.count) {
            Some(place) => {
                *place = vectorizer;
                self.count += 1;
            }
            None => *self = WantedWork::ALL,
        }
    }

    /// For those of another, too.
    pub fn join(&mut self, other: WantedWork) {
        if other.is_all() {
            *self = WantedWork::ALL;
        } else {
            other.ids[..other.count].iter().for_each(|&id| self.add(id));
        }
    }

    /// Whether there may be work for this one.
    pub fn has(&self, vectorizer: i32) -> bool {
        self.is_all() || self.ids[..self.count].contains(&vectorizer)
    }

    /// Those that are kept apart; none of them where it is for all.
    pub fn apart(&self) -> &[i32] {
        self.ids.get(..self.count).unwrap_or_default()
    }

    /// Whether there is nothing to do.
    pub fn is_none(&self) -> bool {
        self.count == 0
    }

    /// Whether there may be work for all.
    pub fn is_all(&self) -> bool {
        self.count > APART
    }
}

/// What the launcher does about a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchDecision {
    /// Start a worker now.
    Start,
    /// Look again at this time.
    Wait(i64),
    /// Nothing until it is woken.
    Sleep,
}

/// Decides about one database.
///
/// ```
/// use ai_pipeline::launch::{decide, Database, LaunchDecision};
/// let idle = Database::default();
/// assert_eq!(decide(idle, 100), LaunchDecision::Sleep);
/// assert_eq!(decide(Database { woken: true, ..idle }, 100), LaunchDecision::Start);
/// assert_eq!(decide(Database { woken: true, not_before: 150, ..idle }, 100), LaunchDecision::Wait(150));
/// assert_eq!(decide(Database { woken: true, running: true, ..idle }, 100), LaunchDecision::Sleep);
/// assert_eq!(decide(Database { next_due: Some(120), ..idle }, 100), LaunchDecision::Wait(120));
/// ```
pub fn decide(database: Database, now: i64) -> LaunchDecision {
    if database.running {
        return LaunchDecision::Sleep;
    }
    let due = match (database.woken, database.next_due) {
        (true, _) => now,
        (false, Some(due)) => due,
        (false, None) => return LaunchDecision::Sleep,
    };
    match due.max(database.not_before) {
        start if start <= now => LaunchDecision::Start,
        start => LaunchDecision::Wait(start),
    }
}

/// How many starts in a row have failed, and until when there is none, after a worker has gone.
///
/// `orderly` is a worker that left of its own accord; one that lived for [`HEALTHY`] counts as a first failure however
/// many came before it.
pub fn after_exit(orderly: bool, failures: u32, lived: i64, now: i64) -> (u32, i64) {
    if orderly {
        return (0, now);
    }
    let failures = if lived >= HEALTHY {
        1
    } else {
        failures.saturating_add(1)
    };
    let doublings = (failures - 1).min(20);
    (
        failures,
        now.saturating_add((FIRST_BACKOFF << doublings).min(GREATEST_BACKOFF)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_can_be_kept_apart_are_all() {
        let mut wanted = WantedWork::NONE;
        for id in 1..=32 {
            wanted.add(id);
            wanted.add(1);
            assert!(wanted.has(id) && !wanted.has(id + 1) && !wanted.is_all());
        }
        let mut other = WantedWork::NONE;
        other.join(wanted);
        assert!(other.has(32) && !other.has(33));
        wanted.add(33);
        assert!(wanted.is_all() && wanted.has(1000));
        wanted.add(34);
        other.join(wanted);
        assert!(wanted.is_all() && other.is_all());
        assert!(!WantedWork::NONE.has(0));
        let mut few = WantedWork::NONE;
        few.add(3);
        few.add(1);
        assert_eq!(few.apart(), [3, 1]);
        assert_eq!(wanted.apart(), [0; 0]);
    }

    #[test]
    fn a_due_database_waits_out_its_backoff() {
        let database = Database {
            next_due: Some(10),
            not_before: 30,
            ..Database::default()
        };
        assert_eq!(decide(database, 20), LaunchDecision::Wait(30));
        assert_eq!(decide(database, 30), LaunchDecision::Start);
    }

    #[test]
    fn failed_starts_back_off_from_five_seconds_to_five_minutes() {
        let mut failures = 0;
        let mut waits = Vec::new();
        for _ in 0..9 {
            let (count, not_before) = after_exit(false, failures, 0, 0);
            failures = count;
            waits.push(not_before / 1_000_000);
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(after_exit(false, u32::MAX, 0, 0).1, GREATEST_BACKOFF);
    }

    #[test]
    fn an_orderly_exit_clears_the_account_and_a_long_life_most_of_it() {
        assert_eq!(after_exit(true, 7, 0, 42), (0, 42));
        assert_eq!(after_exit(false, 7, HEALTHY, 0), (1, FIRST_BACKOFF));
    }
}
