//! How many documents of a vectorizer are taken.

use crate::config::Processing;

/// Documents taken by one statement: enough to make it cheap, few enough that vectorizers take
/// turns.
const CLAIM: usize = 256;
/// The same where the last ones had to be read one by one, and their owner's turn was too short for
/// all.
const SINGLY: usize = 16;
/// Which part of `ai.max_memory` the keys of documents in flight may take, each of which is there
/// several times.
const KEYS_OF_MEMORY: u64 = 32;

/// What bounds the documents that are taken of one vectorizer.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Vectorizers that the worker serves.
    pub vectorizers: usize,
    /// Documents of this one that are in flight.
    pub mine: usize,
    /// Places that nobody has.
    pub room: usize,
    /// Documents of its owner that are in flight, where there are several owners.
    pub of_owner: Option<usize>,
    /// What its owner allows.
    pub processing: Processing,
    /// One document at a time shows whether it goes on.
    pub is_probing: bool,
    /// A lock of a user is in the way of what is in flight.
    pub is_in_the_way: bool,
    /// The last ones had to be read one by one.
    pub reads_singly: bool,
    /// How many may be in flight, as code of its owner was cut short.
    pub slow: Option<usize>,
}

impl Demand {
    /// How many documents are taken.
    ///
    /// ```
    /// use ai_pipeline::{config::Processing, worker::share::Demand};
    /// let demand = Demand {
    ///     vectorizers: 2,
    ///     mine: 0,
    ///     room: 100,
    ///     of_owner: None,
    ///     processing: Processing::Default { batch_size: None, concurrency: None },
    ///     is_probing: false,
    ///     is_in_the_way: false,
    ///     reads_singly: false,
    ///     slow: None,
    /// };
    /// assert_eq!(demand.limit(), 75, "a quarter stays for the other one");
    /// assert_eq!(Demand { is_probing: true, ..demand }.limit(), 1);
    /// ```
    pub fn limit(&self) -> usize {
        let limit = if self.is_probing {
            1usize.saturating_sub(self.mine)
        } else if self.mine > 0 && self.is_in_the_way {
            // What is written to is locked: more would only wait with the others.
            0
        } else {
            of_processing(&self.processing)
                .min(fair_share(self.vectorizers, self.mine.saturating_add(self.room)))
                .saturating_sub(self.mine)
                .min(self.room)
                .min(self.of_owner.map_or(usize::MAX, |mine| room_of_owner(mine, self.room)))
                .min(if self.reads_singly { SINGLY } else { CLAIM })
        };
        match self.slow {
            Some(most) => limit.min(most.saturating_sub(self.mine)),
            None => limit,
        }
    }
}

/// Documents of one vectorizer that may be in flight: what `ai.processing_default` says, or no
/// bound of its own.
fn of_processing(processing: &Processing) -> usize {
    let Processing::Default {
        batch_size,
        concurrency,
    } = processing;
    let number = |value: &Option<i32>| value.and_then(|value| usize::try_from(value).ok());
    match (number(batch_size), number(concurrency)) {
        (None, None) => usize::MAX,
        (batch, concurrency) => batch.unwrap_or(1).saturating_mul(concurrency.unwrap_or(1)).max(1),
    }
}

/// How many of the places that nobody else has, `places`, one of several vectorizers may take:
/// three quarters. However long its documents stay in flight (a provider that hangs, a table that
/// is locked), there is always a place for another's.
fn fair_share(vectorizers: usize, places: usize) -> usize {
    match vectorizers {
        0 | 1 => places,
        _ => (places.saturating_mul(3) / 4).max(1),
    }
}

/// How many more documents an owner may have in flight, of several owners. `mine` is how many it has, of all its
/// vectorizers, and `free` how many places nobody has. Together three quarters of those that no other owner has. The
/// last place is for an owner without a document in flight.
fn room_of_owner(mine: usize, free: usize) -> usize {
    let most = three_quarters(mine.saturating_add(free));
    let least = usize::from(mine == 0);
    most.max(least).saturating_sub(mine).min(free)
}

fn three_quarters(places: usize) -> usize {
    places - places.div_ceil(4)
}

/// How many bytes the keys may have of what is taken next, `most` at most: they are in memory for
/// as long as their documents are in flight. `running` is the bytes of those that are.
pub fn room_for_keys(max_memory_bytes: u64, running: usize, most: usize) -> usize {
    let all = usize::try_from(max_memory_bytes / KEYS_OF_MEMORY).unwrap_or(usize::MAX);
    all.saturating_sub(running).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_leaves_a_quarter_of_what_others_do_not_have() {
        for (mine, free, expected) in [
            (0, 2_048, 1_536),
            (1_000, 1_048, 536),
            (1_536, 512, 0),
            (1_700, 348, 0),
            (0, 512, 384),
            (0, 4, 3),
            (3, 1, 0),
            (0, 1, 1),
            (1, 1, 0),
            (0, 0, 0),
            (5, 0, 0),
            (usize::MAX, 7, 0),
        ] {
            assert_eq!(room_of_owner(mine, free), expected, "{mine} of its own, {free} free");
        }
    }

    #[test]
    fn whatever_the_owners_before_take_the_next_one_finds_a_place() {
        for places in 8..=2_048 {
            let mut free = places;
            for owner in 0..4 {
                let mut mine = 0;
                // As often as it likes.
                for _ in 0..20 {
                    let more = room_of_owner(mine, free);
                    (mine, free) = (mine + more, free - more);
                }
                assert!(mine > 0 || free == 0, "{places} places, owner {owner}");
            }
        }
        // Of two there is always one for the second, of however few places.
        for places in 2..100 {
            let first = room_of_owner(0, places);
            assert!(room_of_owner(0, places - first) > 0, "{places} places");
        }
    }

    fn processing(batch_size: Option<i32>, concurrency: Option<i32>) -> Processing {
        Processing::Default {
            batch_size,
            concurrency,
        }
    }

    fn demand(vectorizers: usize, mine: usize, room: usize) -> Demand {
        Demand {
            vectorizers,
            mine,
            room,
            of_owner: None,
            processing: processing(None, None),
            is_probing: false,
            is_in_the_way: false,
            reads_singly: false,
            slow: None,
        }
    }

    #[test]
    fn one_vectorizer_has_all_places_and_several_leave_a_quarter() {
        // Vectorizers, those in flight, free places; how many are taken.
        let table = [
            (1, 0, 100, 100),
            (1, 60, 40, 40),
            (2, 0, 100, 75),
            (2, 75, 25, 0),
            (200, 70, 30, 5),
            (2, 0, 1, 1),
            (2, 0, 0, 0),
            (2, 1, 1, 0),
            (0, 0, 10, 10),
            (1, 0, 1000, CLAIM),
            (3, 0, usize::MAX, CLAIM),
        ];
        for (vectorizers, mine, room, limit) in table {
            let found = demand(vectorizers, mine, room).limit();
            assert_eq!(found, limit, "{vectorizers} {mine} {room}");
        }
    }

    #[test]
    fn however_many_rounds_there_are_a_place_is_left_for_another() {
        let (mut mine, places) = (0, 64);
        for _ in 0..100 {
            mine += demand(2, mine, places - mine).limit();
        }
        assert_eq!(mine, 48);
    }

    #[test]
    fn an_owner_may_ask_for_fewer() {
        let table = [
            (Some(10), Some(3), 0, 30),
            (Some(10), Some(3), 25, 5),
            (Some(10), Some(3), 30, 0),
            (Some(10), None, 0, 10),
            (None, Some(4), 0, 4),
            (Some(0), None, 0, 1),
            (Some(-1), None, 0, 100),
            (Some(i32::MAX), Some(i32::MAX), 0, 100),
        ];
        for (batch_size, concurrency, mine, limit) in table {
            let demand = Demand {
                processing: processing(batch_size, concurrency),
                ..demand(1, mine, 100)
            };
            assert_eq!(demand.limit(), limit, "{batch_size:?} {concurrency:?} {mine}");
        }
    }

    #[test]
    fn one_document_at_a_time_finds_out() {
        for (mine, limit) in [(0, 1), (1, 0), (7, 0)] {
            let demand = Demand {
                is_probing: true,
                is_in_the_way: true,
                ..demand(1, mine, 100)
            };
            assert_eq!(demand.limit(), limit, "{mine}");
        }
    }

    #[test]
    fn where_a_lock_is_in_the_way_more_would_only_wait() {
        for (mine, limit) in [(0, 100), (1, 0)] {
            let demand = Demand {
                is_in_the_way: true,
                ..demand(1, mine, 100)
            };
            assert_eq!(demand.limit(), limit, "{mine}: with none in flight, one finds out");
        }
    }

    #[test]
    fn what_is_read_one_by_one_is_taken_in_small_portions() {
        let singly = Demand {
            reads_singly: true,
            ..demand(1, 0, 1000)
        };
        assert_eq!(singly.limit(), SINGLY);
        assert_eq!(Demand { room: 3, ..singly }.limit(), 3);
    }

    #[test]
    fn code_that_was_cut_short_bounds_all_else() {
        for (most, mine, limit) in [(1, 0, 1), (1, 1, 0), (8, 3, 5), (8, 9, 0), (500, 0, 100)] {
            let demand = Demand {
                slow: Some(most),
                ..demand(1, mine, 100)
            };
            assert_eq!(demand.limit(), limit, "{most} {mine}");
        }
    }

    #[test]
    fn keys_of_what_is_in_flight_have_a_part_of_the_memory() {
        let (memory, most) = (64 << 20, 1 << 20);
        for (running, room) in [
            (0, 1 << 20),
            (1 << 20, 1 << 20),
            ((2 << 20) - 7, 7),
            (2 << 20, 0),
            (3 << 20, 0),
        ] {
            assert_eq!(room_for_keys(memory, running, most), room, "{running}");
        }
        assert_eq!(room_for_keys(u64::MAX, 0, most), most);
    }
}
