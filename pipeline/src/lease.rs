//! Leases: who has a document in hand.
//!
//! A lease is a number of 64 bits in the row of a queue. Its upper half says whose it is: a worker of the database, by
//! its number, in one of its lives, by an epoch. Its lower half counts what that worker has taken. So no two leases are
//! alike, and a row says by itself whether it is the reader's own, its predecessor's, or another worker's.
//!
//! | bits | what |
//! |---|---|
//! | 63 | 0 |
//! | 56 to 62 | the number of the worker |
//! | 32 to 55 | the epoch |
//! | 0 to 31 | the number of the lease |

use std::ops::RangeInclusive;

/// As in the table above. The sign stays 0, so that later leases of a life are greater.
const WORKER_BITS: u32 = 7;
const EPOCH_BITS: u32 = 24;
const NUMBER_BITS: u32 = 32;

/// The workers that a database can have at the same time.
pub const WORKERS: u8 = 1 << WORKER_BITS;

/// A worker of a database in one of its lives: whose a lease is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    worker: u8,
    epoch: u32,
}

impl Holder {
    /// The worker of this number (below [`WORKERS`]) in the life that began at `began`, in microseconds of any clock
    /// that does not stand still between two lives. The epoch is a hash of that: lives that follow each other differ
    /// but for one in 16 million.
    pub fn new(worker: u8, began: i64) -> Holder {
        // Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4): the upper bits depend on all bits.
        let hash = began.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let epoch = u32::try_from(hash >> (u64::BITS - EPOCH_BITS)).expect("so many bits are left");
        Holder {
            worker: worker % WORKERS,
            epoch,
        }
    }

    /// The leases of this worker in this life, as numbers.
    pub fn leases(self) -> RangeInclusive<i64> {
        let first = self.half() << NUMBER_BITS;
        first..=first | i64::from(u32::MAX)
    }

    /// The leases of this worker in all its lives, as numbers.
    pub fn of_all_lives(self) -> RangeInclusive<i64> {
        let first = i64::from(self.worker) << (EPOCH_BITS + NUMBER_BITS);
        first..=first | ((1 << (EPOCH_BITS + NUMBER_BITS)) - 1)
    }

    fn half(self) -> i64 {
        i64::from(self.worker) << EPOCH_BITS | i64::from(self.epoch)
    }
}

/// Makes the leases of one worker in one life, one after the other.
#[derive(Debug)]
pub struct Leases {
    holder: Holder,
    made: u32,
}

impl Leases {
    /// Of this worker, none of which was made yet.
    pub fn new(holder: Holder) -> Leases {
        Leases { holder, made: 0 }
    }

    /// Whose they are.
    pub fn holder(&self) -> Holder {
        self.holder
    }

    /// The next one. After four billions the first ones come again, of which none is left by then.
    pub fn make(&mut self) -> i64 {
        self.made = self.made.wrapping_add(1);
        self.holder.half() << NUMBER_BITS | i64::from(self.made)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const BEGAN: i64 = 840_000_000_000_000;

    #[test]
    fn a_lease_says_whose_it_is() {
        let holders = [
            (0, BEGAN),
            (0, BEGAN + 1),
            (1, BEGAN),
            (127, BEGAN),
            (3, 0),
            (3, -1),
            (3, i64::MAX),
        ];
        let holders = holders.map(|(worker, began)| Holder::new(worker, began));
        for holder in holders {
            let mut leases = Leases::new(holder);
            for _ in 0..100 {
                let lease = leases.make();
                for other in holders {
                    assert_eq!(other.leases().contains(&lease), other == holder, "{other:?} {lease:x}");
                    let is_of_worker = other.worker == holder.worker;
                    assert_eq!(
                        other.of_all_lives().contains(&lease),
                        is_of_worker,
                        "{other:?} {lease:x}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_two_leases_are_alike() {
        let mut seen = HashSet::new();
        for worker in [0, 1, 127] {
            for life in 0..10 {
                let mut leases = Leases::new(Holder::new(worker, BEGAN + life));
                assert!((0..1_000).all(|_| seen.insert(leases.make())));
            }
        }
    }

    #[test]
    fn the_first_of_four_billions_follows_the_last() {
        let holder = Holder::new(5, BEGAN);
        let mut leases = Leases {
            holder,
            made: u32::MAX - 1,
        };
        let (last, next) = (leases.make(), leases.make());
        assert_eq!(last, *holder.leases().end());
        assert_eq!(next, *holder.leases().start());
    }

    #[test]
    fn lives_that_follow_each_other_differ() {
        for step in [1, 1_000, 1_000_000, 60_000_000, 1 << 24, 1 << 32] {
            let epochs: HashSet<u32> = (0..1_000)
                .map(|life| Holder::new(0, BEGAN + life * step).epoch)
                .collect();
            assert!(epochs.len() > 990, "{step} µs: {}", epochs.len());
        }
    }

    #[test]
    fn the_workers_share_all_numbers_that_are_not_negative() {
        let mut next = 0;
        for worker in 0..WORKERS {
            let all = Holder::new(worker, BEGAN).of_all_lives();
            assert_eq!(*all.start(), next);
            next = all.end().wrapping_add(1);
        }
        assert_eq!(next, i64::MIN);
    }
}
