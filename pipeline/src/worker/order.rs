//! Whose turn it is: owners before vectorizers, and those first who have had least.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// A vectorizer of which something is due.
#[derive(Clone, Copy, Debug)]
pub struct Due<K> {
    /// Its place among all vectorizers.
    pub index: usize,
    /// Whose it is.
    pub owner: K,
    /// Its code or its configuration was at fault, and is tried again.
    pub is_paused: bool,
}

/// The places of those that are due, in the order of their turns. From the one whose `turn` it is
/// on: the first of each owner, then the second of each, so that nobody waits for all that another
/// has. `due` is in the order of the places, and `spent` says what an owner has taken lately.
///
/// ```
/// use std::time::Duration;
/// use ai_pipeline::worker::order::{Due, by_turns};
/// let due = [(0, "ann"), (1, "ann"), (2, "bob")].map(|(index, owner)| Due { index, owner, is_paused: false });
/// assert_eq!(by_turns(&due, 0, |_| Duration::ZERO), [0, 2, 1]);
/// ```
pub fn by_turns<K: Copy + Eq + Hash>(due: &[Due<K>], turn: usize, spent: impl Fn(K) -> Duration) -> Vec<usize> {
    let split = due.partition_point(|one| one.index < turn);
    let (before, from_turn) = due.split_at(split);
    let mut of_owner: HashMap<K, usize> = HashMap::new();
    let mut order: Vec<(usize, &Due<K>)> = from_turn
        .iter()
        .chain(before)
        .map(|one| {
            let before = of_owner.entry(one.owner).or_default();
            *before += 1;
            (*before, one)
        })
        .collect();
    // What is tried again, as its code was at fault, comes after what is not.
    order.sort_by_key(|(before, one)| (one.is_paused, *before));
    // The owner that has taken little of our time has it first.
    order.sort_by_cached_key(|(_, one)| spent(one.owner));
    order.into_iter().map(|(_, one)| one.index).collect()
}

/// Of what is left over from an earlier worker: what is not to blame for its end comes first. The
/// order is kept otherwise.
pub fn innocent_first(ids: impl IntoIterator<Item = i32>, is_paused: impl Fn(i32) -> bool) -> Vec<i32> {
    let (paused, mut order): (Vec<i32>, Vec<i32>) = ids.into_iter().partition(|id| is_paused(*id));
    order.extend(paused);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: fn(char) -> Duration = |_| Duration::ZERO;

    /// The owner of each place; in capitals where it is paused, a dot where nothing is due.
    fn due(owners: &str) -> Vec<Due<char>> {
        let places = owners.chars().enumerate().filter(|(_, owner)| *owner != '.');
        places
            .map(|(index, owner)| Due {
                index,
                owner: owner.to_ascii_lowercase(),
                is_paused: owner.is_ascii_uppercase(),
            })
            .collect()
    }

    #[test]
    fn nobody_waits_for_all_that_another_has() {
        assert_eq!(by_turns(&due("aaaab"), 0, NOTHING), [0, 4, 1, 2, 3]);
        assert_eq!(by_turns(&due("aabbc"), 0, NOTHING), [0, 2, 4, 1, 3]);
        assert_eq!(by_turns(&due("a.b.a"), 0, NOTHING), [0, 2, 4]);
        assert_eq!(by_turns(&due("...."), 0, NOTHING), [0; 0]);
    }

    #[test]
    fn the_turn_goes_round() {
        for (turn, order) in [(0, [0, 1, 2]), (1, [1, 2, 0]), (2, [2, 0, 1]), (3, [0, 1, 2])] {
            assert_eq!(by_turns(&due("abc"), turn, NOTHING), order, "{turn}");
        }
        assert_eq!(
            by_turns(&due("a.c"), 1, NOTHING),
            [2, 0],
            "nothing is due whose turn it is"
        );
        // The first of an owner is the one whose turn it is.
        assert_eq!(by_turns(&due("aab"), 1, NOTHING), [1, 2, 0]);
    }

    #[test]
    fn what_is_tried_again_comes_last_among_its_equals() {
        assert_eq!(by_turns(&due("Aab"), 0, NOTHING), [2, 1, 0]);
        assert_eq!(by_turns(&due("ABC"), 1, NOTHING), [1, 2, 0]);
    }

    #[test]
    fn who_has_had_little_comes_first_with_all_that_is_due() {
        let spent = |owner| match owner {
            'a' => Duration::from_secs(3),
            'b' => Duration::from_secs(1),
            _ => Duration::ZERO,
        };
        assert_eq!(by_turns(&due("aabbcc"), 0, spent), [4, 5, 2, 3, 0, 1]);
        // Also where it is tried again: that is among the owner's own.
        assert_eq!(by_turns(&due("abCc"), 0, spent), [3, 2, 1, 0]);
    }

    #[test]
    fn what_is_not_to_blame_for_a_death_is_given_back_first() {
        assert_eq!(innocent_first([5, 1, 4, 2], |id| id == 5 || id == 4), [1, 2, 5, 4]);
        assert_eq!(innocent_first([], |_| true), [0; 0]);
    }
}
