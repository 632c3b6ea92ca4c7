//! What an administrator allows in a minute, as a pace that all processes keep together.

use std::time::{Duration, Instant};

use super::ledger::Mark;

const MINUTE: f64 = 60.0;
/// Waits are computed up to this.
const GREATEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// A budget that refills evenly. What was spent of it is the moment at which it will be full again.
#[derive(Debug)]
pub(super) struct Pace {
    capacity: f64,
    per_second: f64,
    full_at: Mark,
}

impl Pace {
    /// A tenth may be spent at once and the rest comes evenly, so that no minute has more, wherever it begins.
    pub fn per_minute(limit: u32, full_at: Mark) -> Pace {
        let limit = f64::from(limit);
        let capacity = (limit / 10.0).max(1.0);
        Pace {
            capacity,
            per_second: (limit - capacity).max(1.0) / MINUTE,
            full_at,
        }
    }

    /// Most that is ever there.
    pub fn capacity(&self) -> f64 {
        self.capacity
    }

    /// Spends `need` if it is there; otherwise, when it will be. More than the whole budget is spent when it is full, and the
    /// next one waits until that is paid back.
    pub fn spend(&mut self, now: Instant, need: f64) -> Result<(), Instant> {
        let clock = self.full_at.clock;
        let moment = clock.moment(now);
        let rest = self.microseconds((self.capacity - need).max(0.0));
        let cost = self.microseconds(need);
        let is_there = |full_at: u64| full_at.saturating_sub(rest) <= moment;
        let before = self.full_at.update(|full_at| {
            if is_there(full_at) {
                full_at.max(moment).saturating_add(cost)
            } else {
                full_at
            }
        });
        if is_there(before) {
            return Ok(());
        }
        Err(clock.instant(before - rest).min(now + GREATEST_WAIT))
    }

    /// Takes back what was [spent](Pace::spend) a moment ago, for nothing.
    pub fn give_back(&mut self, spent: f64) {
        let cost = self.microseconds(spent);
        self.full_at.update(|full_at| full_at.saturating_sub(cost));
    }

    /// Until so much has come, rounded up.
    fn microseconds(&self, amount: f64) -> u64 {
        (amount / self.per_second * 1e6).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::{Clock, Ledger};
    use super::*;
    use crate::memory::Fingerprint;

    const WINDOW: Duration = Duration::from_secs(60);

    /// Of a process of its own, as it were.
    fn pace(ledger: &'static Ledger, clock: Clock, limit: u32) -> Pace {
        let place = ledger.place(&Fingerprint::of(None, b"account"));
        Pace::per_minute(limit, Mark::new(clock, Some(place)))
    }

    /// Whoever spends, and however often they leave and come back.
    #[test]
    fn no_minute_has_more_than_is_allowed() {
        for (limit, need) in [(1, 1.0), (10, 1.0), (60, 1.0), (1000, 7.0), (1000, 400.0)] {
            let ledger: &'static Ledger = Box::leak(Box::default());
            let (start, clock) = (Instant::now(), Clock::new());
            let pace = || pace(ledger, clock, limit);
            let mut processes = [pace(), pace(), pace()];
            let (mut now, mut spent) = (start, Vec::new());
            while now < start + 5 * WINDOW {
                let turn = spent.len() % 3;
                let budget = &mut processes[turn];
                if let Err(due) = budget.spend(now, need) {
                    now = due;
                    budget.spend(now, need).expect("it is due");
                }
                spent.push(now);
                now += Duration::from_micros(1);
                if turn == 1 {
                    processes[turn] = pace();
                }
            }
            for first in &spent {
                let window = spent.iter().filter(|at| **at >= *first && **at < *first + WINDOW);
                let sum = need * window.count() as f64;
                // One text that is longer than may be spent at once is paid back afterwards.
                let over = if need > processes[0].capacity() { need } else { 0.0 };
                assert!(sum <= f64::from(limit) + over, "{limit}, {need}: {sum} in a minute");
            }
            assert!(
                spent.len() as f64 * need >= 3.0 * f64::from(limit),
                "{limit}, {need}: too slow: {}",
                spent.len()
            );
        }
    }

    #[test]
    fn what_is_given_back_can_be_spent() {
        let now = Instant::now();
        let mut budget = Pace::per_minute(10, Mark::new(Clock::new(), None));
        assert_eq!(budget.spend(now, 1.0), Ok(()));
        assert!(budget.spend(now, 1.0).is_err());
        budget.give_back(1.0);
        assert_eq!(budget.spend(now, 1.0), Ok(()));
    }

    #[test]
    fn nobody_waits_for_ever() {
        let now = Instant::now();
        let mut budget = Pace::per_minute(1, Mark::new(Clock::new(), None));
        assert_eq!(budget.spend(now, 1e300), Ok(()), "more than the whole of it");
        assert_eq!(budget.spend(now, 1.0), Err(now + GREATEST_WAIT));
    }
}
