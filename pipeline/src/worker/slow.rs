//! How many documents may be in flight of vectorizers whose owners' code was cut short.

use std::collections::HashMap;
use std::time::Duration;

use super::batches::BATCH;

/// A transaction that takes less than this part of what it may was in time.
const IN_TIME: u32 = 4;

/// Vectorizers whose owners' code was cut short.
#[derive(Debug, Default)]
pub struct Slow {
    most: HashMap<i32, usize>,
}

impl Slow {
    /// Code was cut short: one document at a time shows whether it is their number.
    pub fn was_cut(&mut self, vectorizer: i32) {
        self.most.insert(vectorizer, 1);
    }

    /// Documents were written in so long, where `may_take` is allowed: more may be taken the next
    /// time.
    pub fn was_written(&mut self, vectorizer: i32, took: Duration, may_take: Duration) {
        if let Some(most) = self.most.get_mut(&vectorizer)
            && took < may_take / IN_TIME
        {
            *most = most.saturating_mul(2);
            if *most >= BATCH {
                self.most.remove(&vectorizer);
            }
        }
    }

    /// How many may be in flight; `None`: as many as of any other.
    pub fn most(&self, vectorizer: i32) -> Option<usize> {
        self.most.get(&vectorizer).copied()
    }

    /// Whether its code was cut short, and has not been fast since.
    pub fn has(&self, vectorizer: i32) -> bool {
        self.most.contains_key(&vectorizer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn after_a_cut_one_two_four_go_until_a_batch_is_no_burden() {
        let mut slow = Slow::default();
        assert_eq!(slow.most(7), None);
        slow.was_cut(7);
        let mut allowed = Vec::new();
        while let Some(most) = slow.most(7) {
            allowed.push(most);
            slow.was_written(7, S, 5 * S);
        }
        assert_eq!(allowed, [1, 2, 4, 8, 16, 32, 64]);
        assert!(!slow.has(7));
    }

    #[test]
    fn what_takes_a_quarter_of_what_it_may_goes_no_faster() {
        let mut slow = Slow::default();
        slow.was_cut(7);
        slow.was_written(7, S, 4 * S);
        assert_eq!(slow.most(7), Some(1));
        slow.was_written(8, Duration::ZERO, 4 * S);
        assert_eq!((slow.most(7), slow.most(8)), (Some(1), None), "each by itself");
        slow.was_written(7, S - Duration::from_nanos(1), 4 * S);
        assert_eq!(slow.most(7), Some(2));
        slow.was_cut(7);
        assert_eq!(slow.most(7), Some(1), "it was one too many");
    }
}
