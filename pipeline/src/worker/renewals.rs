//! When the queues are told that documents are in good hands: each of them once in a third of a
//! lease.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// A lease is renewed after this part of its time.
const PART: u32 = 3;

/// Whose leases are to be renewed.
#[derive(Debug)]
pub struct Renewals {
    renewed: Instant,
    left: HashSet<i32>,
}

impl Renewals {
    /// Of a worker that begins.
    pub fn new(now: Instant) -> Renewals {
        Renewals {
            renewed: now,
            left: HashSet::new(),
        }
    }

    /// The vectorizers whose leases are renewed now: those that were left, or all that are in
    /// flight when it is time.
    pub fn take(&mut self, lease: Duration, now: Instant, in_flight: impl Iterator<Item = i32>) -> HashSet<i32> {
        if now.saturating_duration_since(self.renewed) >= lease / PART {
            self.renewed = now;
            self.left = in_flight.collect();
        }
        std::mem::take(&mut self.left)
    }

    /// The turn of its owner was over: it is renewed in the next round.
    pub fn put_off(&mut self, vectorizer: i32) {
        self.left.insert(vectorizer);
    }

    /// How long the worker pauses at most, so as to be in time.
    pub fn most_pause(lease: Duration) -> Duration {
        lease / PART
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn take(renewals: &mut Renewals, now: Instant) -> Vec<i32> {
        let mut taken: Vec<i32> = renewals.take(30 * S, now, [1, 2, 2].into_iter()).into_iter().collect();
        taken.sort_unstable();
        taken
    }

    #[test]
    fn leases_are_renewed_once_in_a_third_of_their_time() {
        let now = Instant::now();
        let mut renewals = Renewals::new(now);
        for (at, renewed) in [
            (0, vec![]),
            (9, vec![]),
            (10, vec![1, 2]),
            (11, vec![]),
            (19, vec![]),
            (20, vec![1, 2]),
        ] {
            assert_eq!(take(&mut renewals, now + at * S), renewed, "{at} s");
        }
        assert_eq!(
            take(&mut renewals, now),
            [0; 0],
            "a clock that goes back renews nothing"
        );
    }

    #[test]
    fn what_there_was_no_turn_for_comes_in_the_next_round() {
        let now = Instant::now();
        let mut renewals = Renewals::new(now);
        assert_eq!(take(&mut renewals, now + 10 * S), [1, 2]);
        renewals.put_off(2);
        assert_eq!(take(&mut renewals, now + 11 * S), [2]);
        assert_eq!(take(&mut renewals, now + 12 * S), [0; 0]);
        renewals.put_off(9);
        assert_eq!(
            take(&mut renewals, now + 20 * S),
            [1, 2],
            "all that are in flight, and none that is not"
        );
    }

    #[test]
    fn a_worker_that_pauses_is_in_time_three_times() {
        assert_eq!(Renewals::most_pause(30 * S), 10 * S);
    }
}
