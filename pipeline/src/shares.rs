//! How many of the places for documents in flight one vectorizer, and one owner, may have.
//!
//! Documents may stay in flight for long: a provider hangs, a table is locked. Whatever some do, there is a place for others.

/// The most documents in flight of one of `vectorizers` vectorizers. `places` is how many no other vectorizer has. Three
/// quarters of them; all, where there is one vectorizer.
pub fn of_vectorizer(vectorizers: usize, places: usize) -> usize {
    match vectorizers {
        0 | 1 => places,
        _ => three_quarters(places).max(1),
    }
}

/// How many more documents an owner may have in flight, of several owners. `mine` is how many it has, of all its
/// vectorizers, and `free` how many places nobody has. Together three quarters of those that no other owner has. The
/// last place is for an owner without a document in flight.
pub fn of_owner(mine: usize, free: usize) -> usize {
    let most = three_quarters(mine.saturating_add(free));
    let least = usize::from(mine == 0);
    most.max(least).saturating_sub(mine).min(free)
}

fn three_quarters(places: usize) -> usize {
    places - places.div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_vectorizer_has_all_places_and_one_of_several_leaves_a_quarter() {
        for (vectorizers, places, expected) in [
            (0, 8, 8),
            (1, 8, 8),
            (2, 8, 6),
            (2, 2_048, 1_536),
            (2, 1, 1),
            (2, 0, 1),
            (1_000, 3, 2),
        ] {
            assert_eq!(of_vectorizer(vectorizers, places), expected, "{vectorizers} {places}");
        }
    }

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
            assert_eq!(of_owner(mine, free), expected, "{mine} of its own, {free} free");
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
                    let more = of_owner(mine, free);
                    (mine, free) = (mine + more, free - more);
                }
                assert!(mine > 0 || free == 0, "{places} places, owner {owner}");
            }
        }
        // Of two there is always one for the second, of however few places.
        for places in 2..100 {
            let first = of_owner(0, places);
            assert!(of_owner(0, places - first) > 0, "{places} places");
        }
    }
}
