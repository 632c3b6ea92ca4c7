//! How long documents that a process died with may keep those of others waiting: decisions without a clock of
//! their own.
//!
//! What is in a queue, its owner can write. So who is said to be under suspicion there counts among the
//! documents of that owner only, unless a death was seen while documents of the owner were in a worker's
//! hands.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// For how long nothing else is begun while suspects run, or while they wait for the others to end. A
/// document that ends its process does so soon, as a rule.
pub const ALONE: Duration = Duration::from_secs(3);
/// The same for all suspects of an owner together, for each death.
const ALONE_IN_ALL: Duration = Duration::from_secs(60);

/// Whose suspects may have the process for themselves, and for how long.
///
/// ```
/// use std::time::{Duration, Instant};
/// use ai_pipeline::suspicion::{ALONE, Suspicion};
/// let (mut suspicion, now) = (Suspicion::default(), Instant::now());
/// suspicion.begin("mallory", now);
/// assert!(!suspicion.is_alone(now), "nobody has seen a process die with documents of hers");
/// suspicion.died("ann");
/// suspicion.begin("ann", now);
/// assert!(suspicion.is_alone(now));
/// assert!(!suspicion.is_alone(now + ALONE));
/// ```
#[derive(Debug)]
pub struct Suspicion<K> {
    /// What is left to each.
    left: HashMap<K, Duration>,
    /// For whose suspects all others wait, and since when.
    alone: Option<(K, Instant)>,
}

impl<K> Default for Suspicion<K> {
    fn default() -> Suspicion<K> {
        Suspicion {
            left: HashMap::new(),
            alone: None,
        }
    }
}

impl<K: Copy + Eq + Hash> Suspicion<K> {
    /// A process died, and had documents of this owner in its hands.
    pub fn died(&mut self, owner: K) {
        self.left.insert(owner, ALONE_IN_ALL);
    }

    /// Whether suspects of this owner are to be kept apart from the documents of others.
    pub fn is_grave(&self, owner: K) -> bool {
        self.left.get(&owner).is_some_and(|left| !left.is_zero())
    }

    /// Suspects of this owner are about to run, or have begun to: nothing else begins.
    pub fn begin(&mut self, owner: K, now: Instant) {
        self.end(now);
        if self.is_grave(owner) {
            self.alone = Some((owner, now));
        }
    }

    /// For whose suspects the others wait, if they do so, or have done so until a moment ago.
    pub fn owner(&self) -> Option<K> {
        self.alone.map(|(owner, _)| owner)
    }

    /// Whether the others wait.
    pub fn is_alone(&self, now: Instant) -> bool {
        self.alone.is_some_and(|(owner, since)| {
            let left = self.left.get(&owner).copied().unwrap_or_default();
            now.saturating_duration_since(since) < left.min(ALONE)
        })
    }

    /// They do not any more.
    pub fn end(&mut self, now: Instant) {
        if let Some((owner, since)) = self.alone.take()
            && let Some(left) = self.left.get_mut(&owner)
        {
            let took = now.saturating_duration_since(since).min(ALONE);
            *left = left.saturating_sub(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_seen_keeps_nobody_waiting() {
        let (mut suspicion, now) = (Suspicion::default(), Instant::now());
        suspicion.died('a');
        suspicion.begin('m', now);
        assert!(!suspicion.is_alone(now) && !suspicion.is_grave('m') && suspicion.is_grave('a'));
        assert_eq!(suspicion.owner(), None);
    }

    #[test]
    fn suspects_that_hang_keep_others_waiting_for_a_minute_in_all() {
        let (mut suspicion, began) = (Suspicion::default(), Instant::now());
        suspicion.died('m');
        let (mut now, mut waited) = (began, Duration::ZERO);
        let step = Duration::from_millis(100);
        // For an hour: one hangs after the other, and each waits for others to end before.
        while now < began + Duration::from_secs(3600) {
            for _ in 0..2 {
                suspicion.begin('m', now);
                for _ in 0..100 {
                    waited += if suspicion.is_alone(now) { step } else { Duration::ZERO };
                    now += step;
                }
            }
            suspicion.end(now);
        }
        assert!(waited <= ALONE_IN_ALL + step, "{waited:?}");
        assert!(waited >= ALONE_IN_ALL - step, "{waited:?}");
        // Another death, another minute.
        suspicion.died('m');
        suspicion.begin('m', now);
        assert!(suspicion.is_alone(now));
    }

    #[test]
    fn short_jobs_cost_what_they_take() {
        let (mut suspicion, mut now) = (Suspicion::default(), Instant::now());
        suspicion.died('a');
        for job in 0..500 {
            suspicion.begin('a', now);
            assert!(suspicion.is_alone(now), "job {job}");
            now += Duration::from_millis(100);
            suspicion.end(now);
            now += Duration::from_secs(5);
        }
    }
}
