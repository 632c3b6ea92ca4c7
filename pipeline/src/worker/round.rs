//! What a round of the worker ends with: how long it pauses, and whether it leaves.

use std::time::{Duration, Instant};

use super::renewals::Renewals;
use super::station::BREATH;

/// How old what a working worker says about itself may be: a provider's wish for patience wakes
/// nobody here.
pub const REPORT: Duration = Duration::from_secs(1);
/// How long a worker that has something to go on with pauses, which lets a signal in.
const NO_PAUSE: Duration = Duration::from_millis(1);

/// Something that is done at intervals.
#[derive(Clone, Copy, Debug)]
pub struct Cadence {
    every: Duration,
    last: Option<Instant>,
}

impl Cadence {
    /// From now on: for the first time when one has passed.
    pub fn since(now: Instant, every: Duration) -> Cadence {
        Cadence { every, last: Some(now) }
    }

    /// For the first time at once.
    pub fn at_once(every: Duration) -> Cadence {
        Cadence { every, last: None }
    }

    /// When it is due; `None` where it has never been done.
    pub fn due_at(&self) -> Option<Instant> {
        self.last.map(|last| last + self.every)
    }

    /// Whether it is done now.
    pub fn begin(&mut self, now: Instant) -> bool {
        if self.due_at().is_some_and(|at| at > now) {
            return false;
        }
        self.last = Some(now);
        true
    }
}

/// What a worker may have to do next, as far as it knows.
#[derive(Clone, Copy, Debug)]
pub struct Outlook {
    /// Vectorizers are to be read.
    pub has_unread: bool,
    /// What earlier workers have left, which is to be given back.
    pub leftovers: Leftovers,
    /// Documents are in flight.
    pub is_working: bool,
    /// There is a place for one more.
    pub has_room: bool,
    /// When a queue, an intake, an index or a note is due.
    pub next_due: Option<Instant>,
    /// When the main thread can go on with a document in flight.
    pub next_step: Option<Instant>,
    /// When all queues are looked at, whether a session wakes the worker or not.
    pub poll_at: Instant,
    /// When it is looked whether a session wants the database alone.
    pub make_way_at: Instant,
    /// When it is looked whether the indexer is in the way of a session, while there is one.
    pub indexer_at: Option<Instant>,
    /// When it last had something to do.
    pub last_busy: Instant,
}

/// Whether queues are to be looked through for what earlier workers have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftovers {
    /// There are none.
    None,
    /// Some, which have to wait.
    Wait,
    /// Some, now.
    Due,
}

/// What is set.
#[derive(Clone, Copy, Debug)]
pub struct RoundSettings {
    /// `ai.lease_duration`.
    pub lease: Duration,
    /// `ai.idle_timeout`.
    pub idle: Duration,
}

impl Outlook {
    /// How long to wait when nothing happens.
    pub fn pause(&self, patience: RoundSettings, now: Instant) -> Duration {
        if self.has_unread || self.leftovers == Leftovers::Due {
            return NO_PAUSE;
        }
        let quiet = if self.is_working {
            now + REPORT
        } else {
            self.last_busy + patience.idle
        };
        let next = [
            now + Renewals::most_pause(patience.lease),
            self.poll_at,
            quiet,
            self.make_way_at,
        ];
        // What is due already and was not taken has to wait for a job to end.
        let due = self.next_due.filter(|_| self.has_room).map(|due| due.max(now + BREATH));
        let leftovers = (self.leftovers == Leftovers::Wait).then_some(now + REPORT);
        let more = [due, leftovers, self.indexer_at, self.next_step];
        let next = next.into_iter().chain(more.into_iter().flatten()).min();
        next.map_or(NO_PAUSE, |next| next.saturating_duration_since(now).max(NO_PAUSE))
    }

    /// Whether the worker may leave: nothing is in its hands, and nothing due for as long as it
    /// stays idle. `must_be_remembered`: another worker would begin anew with something.
    /// `serves_some`: it has vectorizers, and may get something to do soon.
    pub fn is_idle(&self, must_be_remembered: bool, serves_some: bool, patience: RoundSettings, now: Instant) -> bool {
        !self.is_working
            && !self.has_unread
            && self.leftovers == Leftovers::None
            && !must_be_remembered
            && self.indexer_at.is_none()
            && self.next_due.is_none_or(|due| due > now + patience.idle)
            && (!serves_some || now.saturating_duration_since(self.last_busy) >= patience.idle)
    }
}

/// After how long a worker that leaves is to come back, if nobody wakes it; `None`: never. One that
/// serves a vectorizer is back after a naptime at the latest. One that does not work has its
/// changes taken in all the same, when that is due.
pub fn comes_back(next_due: Option<Instant>, serves: bool, naptime: Duration, now: Instant) -> Option<Duration> {
    let wait = next_due.map(|due| due.saturating_duration_since(now));
    match wait {
        wait if serves => Some(wait.map_or(naptime, |wait| wait.min(naptime))),
        wait => wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);
    const SET: RoundSettings = RoundSettings {
        lease: Duration::from_secs(300),
        idle: Duration::from_secs(60),
    };

    /// Of a worker with nothing to do, which looks at all queues in five minutes.
    fn quiet(now: Instant) -> Outlook {
        Outlook {
            has_unread: false,
            leftovers: Leftovers::None,
            is_working: false,
            has_room: true,
            next_due: None,
            next_step: None,
            poll_at: now + 300 * S,
            make_way_at: now + 200 * S,
            indexer_at: None,
            last_busy: now,
        }
    }

    fn working(now: Instant) -> Outlook {
        Outlook {
            is_working: true,
            ..quiet(now)
        }
    }

    #[test]
    fn a_worker_pauses_until_the_first_that_may_be_due() {
        let now = Instant::now();
        let table = [
            ("idle", quiet(now), 60 * S),
            ("at work", working(now), REPORT),
            (
                "look around",
                Outlook {
                    make_way_at: now + 500 * MS,
                    ..quiet(now)
                },
                500 * MS,
            ),
            (
                "poll",
                Outlook {
                    poll_at: now + 7 * S,
                    ..quiet(now)
                },
                7 * S,
            ),
            (
                "due",
                Outlook {
                    next_due: Some(now + 3 * S),
                    ..quiet(now)
                },
                3 * S,
            ),
            (
                "due later",
                Outlook {
                    next_due: Some(now + 3 * S),
                    ..working(now)
                },
                REPORT,
            ),
            (
                "step",
                Outlook {
                    next_step: Some(now + 20 * MS),
                    ..working(now)
                },
                20 * MS,
            ),
            (
                "indexer",
                Outlook {
                    indexer_at: Some(now + 500 * MS),
                    ..quiet(now)
                },
                500 * MS,
            ),
        ];
        for (what, outlook, pause) in table {
            assert_eq!(outlook.pause(SET, now), pause, "{what}");
        }
    }

    #[test]
    fn what_is_due_and_was_not_taken_waits_for_a_breath() {
        let now = Instant::now();
        let due = Outlook {
            next_due: Some(now - S),
            ..working(now)
        };
        assert_eq!(due.pause(SET, now), BREATH);
        let full = Outlook { has_room: false, ..due };
        assert_eq!(full.pause(SET, now), REPORT, "for a job to end, which wakes it");
    }

    #[test]
    fn there_is_no_pause_while_something_is_to_be_read_or_given_back() {
        let now = Instant::now();
        let unread = Outlook {
            has_unread: true,
            ..quiet(now)
        };
        assert_eq!(unread.pause(SET, now), MS);
        for (leftovers, pause) in [
            (Leftovers::Due, MS),
            (Leftovers::Wait, REPORT),
            (Leftovers::None, 60 * S),
        ] {
            assert_eq!(
                Outlook {
                    leftovers,
                    ..quiet(now)
                }
                .pause(SET, now),
                pause,
                "{leftovers:?}"
            );
        }
    }

    #[test]
    fn a_pause_is_never_too_long_for_a_lease_and_never_nothing() {
        let now = Instant::now();
        let short = RoundSettings { lease: 3 * S, ..SET };
        assert_eq!(quiet(now).pause(short, now), S);
        let late = Outlook {
            poll_at: now - S,
            ..quiet(now)
        };
        assert_eq!(late.pause(SET, now), MS);
    }

    #[test]
    fn a_worker_leaves_when_nothing_is_left_to_do() {
        let then = Instant::now();
        let now = then + 60 * S;
        let done = quiet(then);
        assert!(done.is_idle(false, true, SET, now));
        assert!(!done.is_idle(false, true, SET, now - MS), "it may get something to do");
        assert!(done.is_idle(false, false, SET, then), "it serves none");
        assert!(!done.is_idle(true, false, SET, now));
        let table = [
            Outlook {
                is_working: true,
                ..done
            },
            Outlook {
                has_unread: true,
                ..done
            },
            Outlook {
                leftovers: Leftovers::Wait,
                ..done
            },
            Outlook {
                leftovers: Leftovers::Due,
                ..done
            },
            Outlook {
                indexer_at: Some(now + 600 * S),
                ..done
            },
            Outlook {
                next_due: Some(now + 60 * S),
                ..done
            },
        ];
        for outlook in table {
            assert!(!outlook.is_idle(false, true, SET, now), "{outlook:?}");
        }
        let later = Outlook {
            next_due: Some(now + 61 * S),
            ..done
        };
        assert!(later.is_idle(false, true, SET, now), "another one comes then");
    }

    #[test]
    fn who_leaves_says_when_another_is_to_come() {
        let (now, naptime) = (Instant::now(), 300 * S);
        let table = [
            (None, true, Some(naptime)),
            (Some(70), true, Some(70 * S)),
            (Some(900), true, Some(naptime)),
            (Some(900), false, Some(900 * S)),
            (None, false, None),
        ];
        for (due, serves, wait) in table {
            let due = due.map(|due| now + due * S);
            assert_eq!(comes_back(due, serves, naptime, now), wait, "{due:?} {serves}");
        }
        assert_eq!(comes_back(Some(now), false, naptime, now + S), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_done_at_intervals_is_done_once_in_each() {
        let now = Instant::now();
        let mut cadence = Cadence::since(now, S);
        assert!(!cadence.begin(now) && !cadence.begin(now + 999 * MS));
        assert!(cadence.begin(now + S) && !cadence.begin(now + S));
        assert_eq!(cadence.due_at(), Some(now + 2 * S));
        let mut cadence = Cadence::at_once(S);
        assert_eq!(cadence.due_at(), None);
        assert!(cadence.begin(now) && !cadence.begin(now));
    }
}
