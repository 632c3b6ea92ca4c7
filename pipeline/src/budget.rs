//! Memory that documents on their way may take up together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted: a kibibyte, so that a count of memory fits a semaphore's.
const UNIT: u64 = 1024;

/// Bytes to be reserved before they are used. Clones share them.
///
/// Whoever waits must hold no reservation of the same budget, or two could wait for each other.
///
/// ```
/// use ai_pipeline::budget::Budget;
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let budget = Budget::new(1 << 20);
/// let all = budget.reserve(5 << 20).await;
/// assert!(budget.is_exhausted());
/// drop(all);
/// assert!(!budget.is_exhausted());
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Budget {
    free: Arc<Semaphore>,
    units: u32,
}

/// A part of a [`Budget`], given back when it is dropped.
#[derive(Debug)]
pub struct Reservation(OwnedSemaphorePermit);

impl Budget {
    /// Of so many bytes; at least one kibibyte.
    pub fn new(bytes: u64) -> Budget {
        let units = units(bytes).min(Semaphore::MAX_PERMITS as u32);
        Budget {
            free: Arc::new(Semaphore::new(units as usize)),
            units,
        }
    }

    /// Waits until so many bytes are free; first come, first served. What is larger than the whole budget gets all of it:
    /// it is alone then.
    pub async fn reserve(&self, bytes: u64) -> Reservation {
        let units = units(bytes).min(self.units);
        let permit = Arc::clone(&self.free).acquire_many_owned(units).await;
        Reservation(permit.expect("the semaphore is never closed"))
    }

    /// Whether nothing is left: who needs memory now has to wait.
    pub fn is_exhausted(&self) -> bool {
        self.free.available_permits() == 0
    }
}

impl Reservation {
    /// Gives back what is above so many bytes.
    pub fn shrink(&mut self, bytes: u64) {
        let surplus = self.0.num_permits().saturating_sub(units(bytes) as usize);
        drop(self.0.split(surplus));
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_shrunk_is_free_for_others() {
        let budget = Budget::new(100 * UNIT);
        let mut first = budget.reserve(90 * UNIT).await;
        let mut second = std::pin::pin!(budget.reserve(40 * UNIT));
        let now = tokio::time::timeout(std::time::Duration::ZERO, second.as_mut()).await;
        assert!(now.is_err(), "there is no room for both");
        first.shrink(60 * UNIT);
        second.await;
        assert!(!budget.is_exhausted());
    }

    #[tokio::test]
    async fn a_giant_waits_for_everybody_and_then_has_all() {
        let budget = Budget::new(100 * UNIT);
        let small = budget.reserve(1).await;
        let mut giant = std::pin::pin!(budget.reserve(u64::MAX));
        let now = tokio::time::timeout(std::time::Duration::ZERO, giant.as_mut()).await;
        assert!(
            now.is_err() && budget.is_exhausted(),
            "what is free is kept for the first in line"
        );
        drop(small);
        drop(giant.await);
        assert!(!budget.is_exhausted());
    }
}
