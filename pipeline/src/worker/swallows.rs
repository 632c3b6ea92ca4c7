//! Documents whose keys or leases the queue swallows: when to note them again.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::retry::{self, MOST_REFUSALS};

/// What the queue of a vectorizer swallows at present.
#[derive(Clone, Debug, Default)]
pub struct Swallows {
    /// How often in a row that was noted.
    times: u32,
    /// It is not noted again before. What is swallowed for the first time is, at any time.
    until: Option<Instant>,
    /// Of the keys that were noted.
    noted: HashSet<u64>,
    hasher: RandomState,
}

impl Swallows {
    /// The documents with these primary keys were swallowed: how long until the queue is to be
    /// looked at again on their account, and those that are to be noted. `None` where there are
    /// none: nothing is swallowed any more.
    ///
    /// `jitter` is uniform in 0..1.
    pub fn met<'a>(&mut self, keys: &'a [String], jitter: f64, now: Instant) -> Option<(Duration, Vec<&'a String>)> {
        if keys.is_empty() {
            *self = Swallows::default();
            return None;
        }
        let wait = match self.until.filter(|until| *until > now) {
            Some(until) => until.saturating_duration_since(now),
            None => {
                self.noted.clear();
                self.times = (self.times + 1).min(MOST_REFUSALS);
                let wait = retry::backoff(self.times, jitter);
                self.until = Some(now + wait);
                wait
            }
        };
        let is_new = |key: &&String| self.noted.insert(self.hasher.hash_one(key));
        Some((wait, keys.iter().filter(is_new).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn what_is_swallowed_is_noted_at_once_and_then_more_and_more_rarely() {
        let (mut swallows, mut now) = (Swallows::default(), Instant::now());
        let keys = keys(&["a", "b"]);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let (wait, new) = swallows.met(&keys, 1.0, now).unwrap();
            assert_eq!(new.len(), 2);
            let (rest, new) = swallows.met(&keys, 1.0, now + wait / 2).unwrap();
            assert_eq!((rest, new.len()), (wait / 2, 0), "meanwhile nothing is noted twice");
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 64, 64]);
    }

    #[test]
    fn another_that_is_swallowed_meanwhile_is_noted_at_once() {
        let (mut swallows, now) = (Swallows::default(), Instant::now());
        let (both, one) = (keys(&["a", "b"]), keys(&["a"]));
        let (wait, _) = swallows.met(&one, 1.0, now).unwrap();
        let (rest, new) = swallows.met(&both, 1.0, now + wait / 4).unwrap();
        assert_eq!(rest, wait * 3 / 4);
        assert_eq!(new, ["b"]);
    }

    #[test]
    fn a_look_that_finds_none_forgets_them() {
        let (mut swallows, now) = (Swallows::default(), Instant::now());
        let keys = keys(&["a"]);
        swallows.met(&keys, 1.0, now).unwrap();
        assert_eq!(swallows.met(&[], 1.0, now), None);
        let (wait, new) = swallows.met(&keys, 1.0, now).unwrap();
        assert_eq!((wait.as_secs(), new.len()), (2, 1), "the first time again");
    }
}
