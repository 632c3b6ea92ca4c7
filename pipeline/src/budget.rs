//! Memory that documents on their way may take up together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted: a kibibyte, so that a count of memory fits a semaphore's.
const UNIT: u64 = 1024;
/// The part of a budget that is kept for small ones: while giants have, or wait for, all the rest, the others go on.
const KEPT: u32 = 8;
/// What is small: so many find room in what is kept.
const SMALL: u32 = 8;
/// And this is small in any budget that keeps as much, or nobody would be in a small budget, in units.
const ALWAYS_SMALL: u32 = 1024;
/// Who needs more than this part of a budget is a giant.
const GIANT: u32 = 4;

/// Bytes to be reserved before they are used. Clones share them.
///
/// A task that waits must hold no reservation of the same budget, or two could wait for each other.
///
/// ```
/// use ai_pipeline::budget::Budget;
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let budget = Budget::new(64 << 20);
/// let giant = budget.reserve(256 << 20).await;
/// let small = budget.reserve(1 << 20).await;
/// assert!(!budget.is_exhausted());
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Budget {
    /// For all.
    common: Arc<Semaphore>,
    /// For small ones.
    kept: Arc<Semaphore>,
    /// The place of a giant in the line for `common`. One at a time: who came after others of them need not
    /// wait for all.
    giants: Arc<Semaphore>,
    /// The place in that line of one that can wait.
    behind: Arc<Semaphore>,
    /// What `common` has if nobody has anything.
    most: u32,
    small: u32,
    giant: u32,
    /// What one of several owners may have of `common`.
    share: Option<Arc<Share>>,
}

/// The part of a budget that is for one of several owners.
#[derive(Debug)]
struct Share {
    permits: Arc<Semaphore>,
    /// What `permits` has if the owner has nothing.
    most: u32,
    /// The place in line of one of the owner's that can wait: it keeps no other owner's waiting.
    behind: Arc<Semaphore>,
}

/// A part of a [`Budget`], given back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    permit: OwnedSemaphorePermit,
    /// What it takes of the share of its owner.
    of_share: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// Of so many bytes; at least one kibibyte.
    pub fn new(bytes: u64) -> Budget {
        let units = units(bytes).min(Semaphore::MAX_PERMITS as u32);
        let kept = units / KEPT;
        let most = units - kept;
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        Budget {
            common: semaphore(most),
            kept: semaphore(kept),
            giants: semaphore(1),
            behind: semaphore(1),
            most,
            small: (kept / SMALL).max(ALWAYS_SMALL).min(kept),
            giant: units / GIANT,
            share: None,
        }
    }

    /// The same budget for one of several owners, who has at most three quarters of what is not kept for
    /// small ones: a share is always left for another owner, however long this one needs its own. Clones of
    /// what is returned share it. What is larger than the share has all that there is, alone, when the owner
    /// has nothing else.
    pub fn of_owner(&self) -> Budget {
        let most = three_quarters(self.most);
        Budget {
            share: Some(Arc::new(Share {
                permits: Arc::new(Semaphore::new(most as usize)),
                most,
                behind: Arc::new(Semaphore::new(1)),
            })),
            ..self.clone()
        }
    }

    /// Whether anybody has, or may ask for, something of the share of an owner, but for this one who asks.
    pub fn is_in_use(&self) -> bool {
        let is_in_use = |share: &Arc<Share>| {
            Arc::strong_count(share) > 1 || share.permits.available_permits() < share.most as usize
        };
        self.share.as_ref().is_some_and(is_in_use)
    }

    /// The same budget for a task that has much of it already: of what is kept for small ones there is nothing.
    pub fn without_kept(&self) -> Budget {
        Budget {
            kept: Arc::new(Semaphore::new(0)),
            small: 0,
            ..self.clone()
        }
    }

    /// Waits until so many bytes are free; first come, first served. What is larger than the whole budget
    /// gets all of it: it is alone then, but for small ones.
    pub async fn reserve(&self, bytes: u64) -> Reservation {
        let wanted = units(bytes);
        if wanted > self.small {
            return self.stand_in_line(wanted).await;
        }
        tokio::select! {
            biased;
            reservation = self.stand_in_line(wanted) => reservation,
            permit = acquire(&self.kept, wanted) => Reservation { permit, of_share: None },
        }
    }

    /// [`Budget::reserve`] for a document that nobody waits for: of what is kept for small ones it gets
    /// nothing, and before others that come after it, at most one that can wait is served.
    pub async fn reserve_behind(&self, bytes: u64) -> Reservation {
        let wanted = units(bytes);
        // Who waits for the owner's own has no place in the line of all.
        let _own_turn = match &self.share {
            Some(share) => Some(acquire(&share.behind, 1).await),
            None => None,
        };
        let of_share = self.of_share(wanted).await;
        let _turn = acquire(&self.behind, 1).await;
        self.stand_in_common_line(wanted, of_share).await
    }

    /// What is free now of so many bytes, which may be less; `None` where nothing is. Nobody who waits is passed by.
    pub fn reserve_now(&self, most: u64) -> Option<Reservation> {
        // What is free may be gone in a moment, for another task: the caller gets nothing then, and has to wait.
        let free = |pool: &Semaphore| u32::try_from(pool.available_permits()).unwrap_or(u32::MAX);
        let of_owner = self.share.as_ref().map_or(u32::MAX, |share| free(&share.permits));
        let (common, kept) = (free(&self.common).min(of_owner), free(&self.kept));
        let take = |pool: &Arc<Semaphore>, number: u32| Arc::clone(pool).try_acquire_many_owned(number).ok();
        let wanted = units(most).min(common.max(kept));
        if wanted == 0 {
            return None;
        }
        if kept >= common {
            let permit = take(&self.kept, wanted)?;
            return Some(Reservation { permit, of_share: None });
        }
        let of_share = match &self.share {
            Some(share) => Some(take(&share.permits, wanted)?),
            None => None,
        };
        let permit = take(&self.common, wanted)?;
        Some(Reservation { permit, of_share })
    }

    /// Waits for so much of the share of the owner, or for all of it.
    async fn of_share(&self, wanted: u32) -> Option<OwnedSemaphorePermit> {
        let share = self.share.as_ref()?;
        Some(acquire(&share.permits, wanted.min(share.most)).await)
    }

    async fn stand_in_line(&self, wanted: u32) -> Reservation {
        let of_share = self.of_share(wanted).await;
        self.stand_in_common_line(wanted, of_share).await
    }

    async fn stand_in_common_line(&self, wanted: u32, of_share: Option<OwnedSemaphorePermit>) -> Reservation {
        let _turn = if wanted > self.giant {
            Some(acquire(&self.giants, 1).await)
        } else {
            None
        };
        let permit = acquire(&self.common, wanted.min(self.most)).await;
        Reservation { permit, of_share }
    }

    /// The most bytes that one reservation can be for.
    pub fn most(&self) -> u64 {
        u64::from(self.most) * UNIT
    }

    /// Whether nothing is left: even who needs little memory now has to wait.
    pub fn is_exhausted(&self) -> bool {
        self.common.available_permits() == 0 && self.kept.available_permits() == 0
    }
}

impl Reservation {
    /// How many bytes it is for: no fewer than were asked for, but of what is larger than the budget.
    pub fn bytes(&self) -> u64 {
        self.permit.num_permits() as u64 * UNIT
    }

    /// Takes out a part for so many bytes, or what there is.
    pub fn split(&mut self, bytes: u64) -> Reservation {
        let wanted = (units(bytes) as usize).min(self.permit.num_permits());
        let part = |permit: &mut OwnedSemaphorePermit| {
            let part = permit.split(wanted.min(permit.num_permits()));
            part.expect("no more is taken out than there is")
        };
        Reservation {
            permit: part(&mut self.permit),
            of_share: self.of_share.as_mut().map(part),
        }
    }

    /// Gives back what is above so many bytes.
    pub fn shrink(&mut self, bytes: u64) {
        let most = units(bytes) as usize;
        for permit in [Some(&mut self.permit), self.of_share.as_mut()].into_iter().flatten() {
            drop(permit.split(permit.num_permits().saturating_sub(most)));
        }
    }
}

fn three_quarters(permits: u32) -> u32 {
    permits - permits / 4
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1)
}

async fn acquire(semaphore: &Arc<Semaphore>, units: u32) -> OwnedSemaphorePermit {
    let permit = Arc::clone(semaphore).acquire_many_owned(units).await;
    permit.expect("the semaphore is never closed")
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// What is there without waiting for it.
    async fn now<T>(reserved: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::ZERO, reserved).await.ok()
    }

    #[tokio::test]
    async fn what_is_shrunk_is_free_for_others() {
        let budget = Budget::new(100 * MIB);
        let mut first = budget.reserve(80 * MIB).await;
        let mut second = pin!(budget.reserve(40 * MIB));
        assert!(now(second.as_mut()).await.is_none(), "there is no room for both");
        first.shrink(40 * MIB);
        assert!(now(second).await.is_some());
    }

    #[tokio::test]
    async fn a_giant_waits_for_everybody_and_then_has_all() {
        let budget = Budget::new(100 * MIB);
        let other = budget.reserve(1).await;
        let mut giant = pin!(budget.reserve(u64::MAX));
        assert!(now(giant.as_mut()).await.is_none(), "it would not be alone");
        drop(other);
        let giant = now(giant).await;
        assert!(giant.is_some());
        assert!(now(budget.reserve(2 * MIB)).await.is_none(), "it is alone");
        drop(giant);
        assert!(now(budget.reserve(2 * MIB)).await.is_some());
    }

    #[tokio::test]
    async fn small_ones_pass_giants() {
        let budget = Budget::new(100 * MIB);
        let first = budget.reserve(u64::MAX).await;
        let mut second = pin!(budget.reserve(u64::MAX));
        assert!(now(second.as_mut()).await.is_none());
        assert!(!budget.is_exhausted(), "small ones need not wait");
        let mut small = Vec::new();
        while let Some(reservation) = now(budget.reserve(MIB)).await {
            small.push(reservation);
        }
        assert_eq!(small.len(), 12);
        let mut last = pin!(budget.reserve(MIB));
        assert!(now(last.as_mut()).await.is_none());
        assert!(budget.is_exhausted(), "what is free is kept for the first in line");
        small.pop();
        assert!(now(last).await.is_some(), "it is given what comes free");
        drop((first, small));
        assert!(now(second).await.is_some());
    }

    #[tokio::test]
    async fn what_is_free_now_is_had_without_waiting_and_taken_apart() {
        let budget = Budget::new(80 * MIB);
        let mut window = budget.reserve_now(50 * MIB).unwrap();
        assert_eq!(window.bytes(), 50 * MIB);
        let part = window.split(20 * MIB);
        assert_eq!((part.bytes(), window.bytes()), (20 * MIB, 30 * MIB));
        assert_eq!(budget.reserve_now(50 * MIB).unwrap().bytes(), 20 * MIB, "what is left");
        drop(part);
        let mut giant = pin!(budget.reserve(60 * MIB));
        assert!(now(giant.as_mut()).await.is_none());
        let kept = budget.reserve_now(50 * MIB).unwrap();
        assert_eq!(kept.bytes(), 10 * MIB, "what is free is kept for the first in line");
        assert!(budget.reserve_now(1).is_none());
        assert_eq!(window.split(40 * MIB).bytes(), 30 * MIB, "no more than there is");
        drop(window);
        assert!(now(giant).await.is_some());
    }

    #[tokio::test]
    async fn who_has_much_leaves_what_is_kept_to_others() {
        let budget = Budget::new(100 * MIB);
        let crowd = budget.without_kept();
        let mut held = Vec::new();
        while let Some(reservation) = now(crowd.reserve(MIB)).await {
            held.push(reservation);
        }
        assert_eq!(held.len(), 87);
        assert!(!budget.is_exhausted());
        let mut more = pin!(crowd.reserve(MIB));
        assert!(now(more.as_mut()).await.is_none());
        assert!(now(budget.reserve(MIB)).await.is_some(), "others do not wait");
        held.pop();
        assert!(now(more).await.is_some());
    }

    #[tokio::test]
    async fn one_giant_is_in_line_at_a_time() {
        let budget = Budget::new(100 * MIB);
        let first = budget.reserve(u64::MAX).await;
        let (mut second, mut third) = (pin!(budget.reserve(50 * MIB)), pin!(budget.reserve(50 * MIB)));
        let mut other = pin!(budget.reserve(20 * MIB));
        assert!(now(second.as_mut()).await.is_none());
        assert!(now(third.as_mut()).await.is_none());
        assert!(now(other.as_mut()).await.is_none());
        drop(first);
        let second = now(second).await;
        assert!(second.is_some());
        assert!(
            now(third.as_mut()).await.is_none(),
            "it is behind one that came after it"
        );
        let other = now(other).await;
        assert!(other.is_some());
        drop((second, other));
        assert!(now(third).await.is_some());
    }

    #[tokio::test]
    async fn who_can_wait_leaves_room_for_others_and_queues_behind_them() {
        let budget = Budget::new(100 * MIB);
        let first = budget.reserve_behind(60 * MIB).await;
        let mut behind: Vec<_> = (0..10).map(|_| Box::pin(budget.reserve_behind(20 * MIB))).collect();
        let second = now(behind.remove(0)).await;
        assert!(second.is_some());
        for reserved in &mut behind {
            assert!(now(reserved.as_mut()).await.is_none(), "some is kept for others");
        }
        assert!(now(budget.reserve(MIB)).await.is_some(), "a small one does not wait");
        let mut fresh = pin!(budget.reserve(20 * MIB));
        assert!(now(fresh.as_mut()).await.is_none());
        drop((first, second));
        // One of those that can wait was in line already, the others come after it.
        let third = now(behind.remove(0)).await;
        let fresh = now(fresh).await;
        assert!(third.is_some() && fresh.is_some());
        assert!(now(behind.remove(0)).await.is_some());
    }
    /// Takes as much as there is without waiting, in parts of that size; how many bytes that was.
    async fn taken(budget: &Budget, part: u64, held: &mut Vec<Reservation>) -> u64 {
        let before = held.len();
        while let Some(reservation) = now(budget.reserve(part)).await {
            held.push(reservation);
        }
        (held.len() - before) as u64 * part
    }

    #[tokio::test]
    async fn an_owner_leaves_a_share_to_another() {
        // The size of parts; how much the first, the second and the third owner get of 100 MiB, of which 87.5
        // are for all.
        for (part, expected) in [
            (MIB, [65 + 12, 22, 0]),
            (5 * MIB, [65, 20, 0]),
            (20 * MIB, [60, 20, 0]),
            (30 * MIB, [60, 0, 0]),
        ] {
            let budget = Budget::new(100 * MIB);
            let mut held = Vec::new();
            let mut got = Vec::new();
            for _ in 0..3 {
                got.push(taken(&budget.of_owner(), part, &mut held).await / MIB);
            }
            assert_eq!(got, expected, "{part}");
        }
    }

    #[tokio::test]
    async fn who_waits_for_the_own_share_keeps_nobody_waiting() {
        let budget = Budget::new(100 * MIB);
        let (mine, yours) = (budget.of_owner(), budget.of_owner());
        let mut held = Vec::new();
        assert_eq!(taken(&mine, 20 * MIB, &mut held).await, 60 * MIB);
        let mut waiting = pin!(mine.reserve(20 * MIB));
        assert!(now(waiting.as_mut()).await.is_none());
        let mut behind = pin!(mine.reserve_behind(20 * MIB));
        assert!(now(behind.as_mut()).await.is_none());
        let mut giant = pin!(mine.reserve(u64::MAX));
        assert!(now(giant.as_mut()).await.is_none());
        let yours_now = now(yours.reserve_behind(20 * MIB)).await;
        assert!(yours_now.is_some());
        assert!(
            mine.reserve_now(20 * MIB)
                .is_some_and(|window| window.bytes() <= 13 * MIB)
        );
        // What comes free goes to the first in line.
        held.pop();
        assert!(now(waiting).await.is_some());
        drop(yours_now);
        assert!(now(behind).await.is_some());
    }

    #[tokio::test]
    async fn what_is_larger_than_a_share_is_alone_of_its_owner() {
        let budget = Budget::new(100 * MIB);
        let (mine, yours) = (budget.of_owner(), budget.of_owner());
        let other = mine.reserve(20 * MIB).await;
        let mut giant = pin!(mine.reserve(90 * MIB));
        assert!(now(giant.as_mut()).await.is_none(), "its owner has something else");
        let before = now(yours.reserve(20 * MIB)).await;
        assert!(before.is_some());
        drop(other);
        assert!(now(giant.as_mut()).await.is_none(), "it would not be alone");
        drop(before);
        let mut giant = now(giant).await.expect("all is free");
        assert_eq!(giant.bytes(), mine.most());
        assert!(
            now(yours.reserve(MIB)).await.is_some(),
            "a small one of another does not wait"
        );
        giant.shrink(10 * MIB);
        assert!(now(yours.reserve(60 * MIB)).await.is_some());
        assert!(now(mine.reserve(10 * MIB)).await.is_some());
    }

    #[tokio::test]
    async fn what_is_given_back_is_given_back_to_the_share() {
        let budget = Budget::new(100 * MIB);
        let mine = budget.of_owner();
        assert!(!mine.is_in_use());
        let mut window = mine.reserve_now(50 * MIB).expect("all is free");
        let part = window.split(20 * MIB);
        window.shrink(10 * MIB);
        assert!(mine.is_in_use());
        assert_eq!(mine.reserve_now(u64::MAX).map(|all| all.bytes() / MIB), Some(35));
        drop((part, window));
        assert_eq!(mine.reserve_now(u64::MAX).map(|all| all.bytes() / MIB), Some(65));
        assert!(!mine.is_in_use());
        assert!(mine.clone().is_in_use());
    }
}
