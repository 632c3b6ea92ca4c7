//! What an administrator allows in a minute, as a pace that all processes keep together.

use std::time::{Duration, Instant};

use super::ledger::LedgerMoment;

const MINUTE: f64 = 60.0;
/// Those who wait for the same moment come up to this later, so that nobody is always the first.
const SPREAD: Duration = Duration::from_millis(100);

/// A budget that refills evenly. What was spent of it is the moment at which it will be full again.
#[derive(Debug)]
pub(super) struct Pace {
    capacity: f64,
    /// What all wait for, whatever they need.
    threshold: f64,
    per_second: f64,
    full_at: LedgerMoment,
}

impl Pace {
    /// Of requests, each of which needs one.
    pub fn of_requests(limit: u32, full_at: LedgerMoment) -> Pace {
        Pace::per_minute(limit, |_| 1.0, full_at)
    }

    /// Of tokens, of which a request needs up to the whole budget.
    pub fn of_tokens(limit: u32, full_at: LedgerMoment) -> Pace {
        Pace::per_minute(limit, |capacity| capacity, full_at)
    }

    /// A tenth is there at first, and the rest comes evenly. Who needs `most` when just the threshold is there owes the
    /// difference, and so much less comes: no minute has more than the limit, wherever it begins.
    fn per_minute(limit: u32, most: impl Fn(f64) -> f64, full_at: LedgerMoment) -> Pace {
        let limit = f64::from(limit);
        let capacity = (limit / 10.0).max(1.0);
        let most = most(capacity);
        let threshold = (most / 2.0).max(1.0);
        Pace {
            capacity,
            threshold,
            per_second: (limit - capacity - (most - threshold)).max(1.0) / MINUTE,
            full_at,
        }
    }

    /// Most that is ever there.
    pub fn capacity(&self) -> f64 {
        self.capacity
    }

    /// Spends `need` if the threshold is there; otherwise, when to come again. Who needs more than is there
    /// goes into debt, and all wait until that is paid back: if each waited for what it needs itself, those
    /// who need little would take it as it comes, and who needs much would wait for ever.
    pub fn spend(&mut self, now: Instant, need: f64) -> Result<(), Instant> {
        let clock = self.full_at.clock;
        let moment = clock.moment(now);
        let rest = self.microseconds(self.capacity - self.threshold);
        // A limit of a minute can say nothing of more than a minute: one huge text stops nobody for longer.
        let cost = self.microseconds(need.min(MINUTE * self.per_second));
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
        Err(clock.instant(before - rest) + SPREAD.mul_f64(rand::random()))
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
    use super::super::ledger::{Clock, Ledger, LedgerKind};
    use super::*;
    use crate::fingerprint::Fingerprint;

    const WINDOW: Duration = Duration::from_secs(60);

    /// Of a process of its own, as it were.
    fn mark(ledger: &'static Ledger, clock: Clock) -> LedgerMoment {
        LedgerMoment::new(
            clock,
            Some(ledger.place(LedgerKind::Account, &Fingerprint::of(None, b"account"))),
        )
    }

    /// Most that was spent in a minute.
    fn most_of_a_minute(spent: &[(Instant, f64)]) -> f64 {
        let (mut first, mut sum, mut most) = (0, 0.0, 0.0_f64);
        for (at, need) in spent {
            sum += need;
            while spent[first].0 + WINDOW <= *at {
                sum -= spent[first].1;
                first += 1;
            }
            most = most.max(sum);
        }
        most
    }

    /// All that spend together, however often they leave and come back.
    #[test]
    fn no_minute_has_more_than_is_allowed() {
        for (limit, need) in [(1, 1.0), (10, 1.0), (60, 1.0), (1000, 7.0), (1000, 400.0)] {
            let ledger: &'static Ledger = Box::leak(Box::default());
            let (start, clock) = (Instant::now(), Clock::new());
            let of = if need == 1.0 {
                Pace::of_requests
            } else {
                Pace::of_tokens
            };
            let pace = || of(limit, mark(ledger, clock));
            let mut processes = [pace(), pace(), pace()];
            let (mut now, mut spent) = (start, Vec::new());
            while now < start + 5 * WINDOW {
                let turn = spent.len() % 3;
                let budget = &mut processes[turn];
                if let Err(due) = budget.spend(now, need) {
                    now = due;
                    budget.spend(now, need).expect("it is due");
                }
                spent.push((now, need));
                now += Duration::from_micros(1);
                if turn == 1 {
                    processes[turn] = pace();
                }
            }
            let sum = most_of_a_minute(&spent);
            // One text that is longer than may be spent at once is paid back afterwards.
            let over = if need > processes[0].capacity() { need } else { 0.0 };
            assert!(sum <= f64::from(limit) + over, "{limit}, {need}: {sum} in a minute");
            assert!(
                spent.len() as f64 * need >= 3.0 * f64::from(limit),
                "{limit}, {need}: too slow: {}",
                spent.len()
            );
        }
    }

    /// Though those who need little are always the first at the same moment, and never have enough.
    #[test]
    fn who_needs_much_gets_on_among_those_who_need_little() {
        const LIMIT: u32 = 10_000;
        for small in [1.0, 50.0, 300.0, 1000.0] {
            let ledger: &'static Ledger = Box::leak(Box::default());
            let (start, clock) = (Instant::now(), Clock::new());
            let user = |need| (Pace::of_tokens(LIMIT, mark(ledger, clock)), need, start, 0.0);
            let mut users = [user(small), user(small), user(1000.0)];
            let mut spent = Vec::new();
            loop {
                let next = users.iter_mut().min_by_key(|(_, _, due, _)| *due);
                let (budget, need, due, requests) = next.expect("there are users");
                let now = *due;
                if now >= start + 10 * WINDOW {
                    break;
                }
                match budget.spend(now, *need) {
                    Ok(()) => {
                        spent.push((now, *need));
                        *requests += 1.0;
                    }
                    Err(later) => *due = later,
                }
            }
            let sum = most_of_a_minute(&spent);
            assert!(sum <= f64::from(LIMIT), "{small}: {sum} in a minute");
            let all: f64 = spent.iter().map(|(_, need)| need).sum();
            assert!(all >= 8.0 * f64::from(LIMIT), "{small}: too slow: {all}");
            let [one, other, large] = users.map(|(_, _, _, requests)| requests);
            assert!(1000.0 * large >= all / 5.0, "{small}: {large} large ones of {all}");
            assert!(
                one.min(other) >= large / 4.0,
                "{small}: {one}, {other}, and {large} large ones"
            );
        }
    }

    #[test]
    fn what_is_given_back_can_be_spent() {
        let now = Instant::now();
        let mut budget = Pace::of_requests(10, LedgerMoment::new(Clock::new(), None));
        assert_eq!(budget.spend(now, 1.0), Ok(()));
        assert!(budget.spend(now, 1.0).is_err());
        budget.give_back(1.0);
        assert_eq!(budget.spend(now, 1.0), Ok(()));
    }

    #[test]
    fn nobody_waits_for_ever() {
        for (limit, need) in [(1, 1e300), (100_000, 25e6)] {
            let now = Instant::now();
            let mut budget = Pace::of_tokens(limit, LedgerMoment::new(Clock::new(), None));
            assert_eq!(budget.spend(now, need), Ok(()), "more than the whole of it");
            let due = budget.spend(now, 1.0).expect_err("all of it is spent");
            assert!(due <= now + WINDOW + SPREAD, "{limit}: {:?}", due - now);
            assert_eq!(budget.spend(due, 1.0), Ok(()));
        }
    }
}
