//! Which vectorizers are to be read (anew), and in which order.

use std::collections::{HashMap, HashSet, VecDeque};

use super::station::Change;

/// Vectorizers that are read by one statement: what waits meanwhile waits for some tens of
/// milliseconds.
const READ: usize = 32;

/// What is to be read of the catalogue.
#[derive(Debug, Default)]
pub struct Rereads {
    /// How often the vectorizers have changed, as far as is known.
    generation: u64,
    /// Those that are to be read before others, in the order in which they were found to be.
    ahead: VecDeque<i32>,
    /// Those that are to be read, in this order, a few in a round.
    unread: VecDeque<i32>,
    /// Those of them that have changed themselves.
    changed: HashSet<i32>,
    /// Those that may have changed unseen: to be read anew at the next turn.
    stale: HashSet<i32>,
    /// Those whose statements the database refused, as what they name may just have been altered,
    /// and the generation that was known by then.
    refused: HashMap<i32, u64>,
}

impl Rereads {
    /// The vectorizers have changed so often.
    pub fn heard(&mut self, generation: u64) {
        self.generation = generation;
    }

    /// These are all that there are, and all are to be read, for a change of this kind. What is to
    /// be read for a change of its own still is. Those that are to be read already come first, in
    /// their order: a session that has all read again and again keeps none from being read once.
    pub fn all(&mut self, ids: Vec<i32>, change: Change) {
        let is_there: HashSet<i32> = ids.iter().copied().collect();
        self.changed.retain(|id| is_there.contains(id));
        if change == Change::Own {
            self.changed.extend(&ids);
        }
        self.ahead.retain(|id| is_there.contains(id));
        self.unread.retain(|id| is_there.contains(id));
        let waiting: HashSet<i32> = self.ahead.iter().chain(&self.unread).copied().collect();
        self.unread.extend(ids.into_iter().filter(|id| !waiting.contains(id)));
    }

    /// These are read before all others, as far as they are to be read: something waits for them.
    pub fn first(&mut self, ids: &[i32]) {
        let all: Vec<i32> = self.ahead.drain(..).collect();
        let (first, behind): (Vec<i32>, Vec<i32>) = all.into_iter().partition(|id| ids.contains(id));
        let (also, others): (Vec<i32>, Vec<i32>) = self.unread.drain(..).partition(|id| ids.contains(id));
        self.ahead = first.into_iter().chain(also).chain(behind).collect();
        self.unread = others.into();
    }

    /// This one could not be read now, and is to be read after those that are.
    pub fn put_off(&mut self, id: i32, change: Change) {
        self.unread.push_back(id);
        if change == Change::Own {
            self.changed.insert(id);
        }
    }

    /// These have changed themselves. They and those that were found to be stale are read before
    /// those that have not, each once, and after those of them that wait already: an owner who
    /// changes many of them again and again keeps none of another's waiting.
    pub fn changed(&mut self, ids: &[i32]) {
        let mut found: Vec<i32> = std::mem::take(&mut self.stale).into_iter().collect();
        found.sort_unstable();
        found.extend(ids);
        self.unread.retain(|id| !found.contains(id));
        for id in found {
            if !self.ahead.contains(&id) {
                self.ahead.push_back(id);
            }
            self.changed.insert(id);
        }
    }

    /// This one is to be read, after those that are.
    pub fn add(&mut self, id: i32) {
        self.unread.push_back(id);
        self.changed.insert(id);
    }

    /// This one may have changed unseen.
    pub fn found_stale(&mut self, id: i32) {
        self.stale.insert(id);
    }

    /// Whether the refusal of a statement may be due to names that have just changed. Once for each
    /// time that they do: the vectorizer is read anew, and if the database refuses again, it is a
    /// failure.
    pub fn may_be_stale(&mut self, id: i32) -> bool {
        let may_be = self.refused.insert(id, self.generation) != Some(self.generation);
        if may_be {
            self.found_stale(id);
        }
        may_be
    }

    /// What may have stood in its way is mended.
    pub fn mended(&mut self, id: i32) {
        self.refused.remove(&id);
    }

    /// Whether this one is to be read.
    pub fn has(&self, id: i32) -> bool {
        self.ahead.contains(&id) || self.unread.contains(&id)
    }

    /// Whether none is to be read.
    pub fn is_empty(&self) -> bool {
        self.ahead.is_empty() && self.unread.is_empty()
    }

    /// Those that are read next, and why. A quarter are of those that wait in order, however many
    /// come before them.
    pub fn take_some(&mut self) -> Vec<(i32, Change)> {
        let ahead = READ - self.unread.len().min(READ / 4);
        let mut some: Vec<i32> = self.ahead.drain(..self.ahead.len().min(ahead)).collect();
        some.extend(self.unread.drain(..self.unread.len().min(READ - some.len())));
        let mut why = |id| {
            if self.changed.remove(&id) {
                Change::Own
            } else {
                Change::Others
            }
        };
        some.into_iter().map(|id| (id, why(id))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_wait_come_before_those_that_are_read_again() {
        let mut rereads = Rereads::default();
        let all: Vec<i32> = (1..=100).collect();
        let mut read = HashSet::new();
        // Something changes in each round.
        for _ in 0..100_usize.div_ceil(READ) {
            rereads.all(all.clone(), Change::Others);
            read.extend(next(&mut rereads));
        }
        assert_eq!(read.len(), 100);
    }

    #[test]
    fn what_something_waits_for_is_read_first() {
        let mut rereads = Rereads::default();
        rereads.all((1..=100).collect(), Change::Others);
        rereads.first(&[99, 70, 1_000]);
        assert_eq!(next(&mut rereads)[..4], [70, 99, 1, 2]);
    }

    #[test]
    fn many_changes_of_one_owner_keep_none_of_another_waiting() {
        let mut rereads = Rereads::default();
        let many: Vec<i32> = (1..=64).collect();
        rereads.all(vec![100, 101], Change::Others);
        rereads.changed(&many);
        rereads.changed(&[200]);
        let mut read = HashSet::new();
        for _ in 0..3 {
            read.extend(next(&mut rereads));
            // The others change again, in each round.
            rereads.changed(&many);
        }
        assert!([100, 101, 200].iter().all(|id| read.contains(id)), "{read:?}");
    }

    #[test]
    fn what_is_put_off_is_read_later_and_for_its_own_change() {
        let mut rereads = Rereads::default();
        rereads.changed(&[7]);
        let some = rereads.take_some();
        assert_eq!(some, [(7, Change::Own)]);
        rereads.put_off(7, Change::Own);
        rereads.all(vec![1, 7], Change::Others);
        assert_eq!(rereads.take_some(), [(7, Change::Own), (1, Change::Others)]);
    }

    fn next(rereads: &mut Rereads) -> Vec<i32> {
        rereads.take_some().into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn many_are_read_a_few_in_a_round() {
        let mut rereads = Rereads::default();
        rereads.all((1..=70).collect(), Change::Others);
        assert_eq!(next(&mut rereads), (1..=32).collect::<Vec<_>>());
        assert_eq!(next(&mut rereads), (33..=64).collect::<Vec<_>>());
        assert!(!rereads.is_empty() && rereads.has(70) && !rereads.has(1));
        assert_eq!(next(&mut rereads), (65..=70).collect::<Vec<_>>());
        assert!(rereads.is_empty());
        assert_eq!(next(&mut rereads), [0; 0]);
    }

    #[test]
    fn what_has_changed_is_read_first_and_once() {
        let mut rereads = Rereads::default();
        rereads.all(vec![1, 2, 3], Change::Others);
        rereads.found_stale(3);
        rereads.changed(&[2, 3]);
        let mut read = rereads.take_some();
        assert_eq!(read.len(), 3);
        read[..2].sort_by_key(|(id, _)| *id);
        assert_eq!(read, [(2, Change::Own), (3, Change::Own), (1, Change::Others)]);
        rereads.changed(&[]);
        assert!(rereads.is_empty(), "it was stale once");
    }

    #[test]
    fn a_change_of_all_makes_no_change_of_one_forgotten() {
        let mut rereads = Rereads::default();
        rereads.changed(&[2, 9]);
        rereads.all(vec![1, 2], Change::Others);
        assert_eq!(rereads.take_some(), [(2, Change::Own), (1, Change::Others)]);
        rereads.all(vec![1, 2, 9], Change::Others);
        assert!(
            rereads.take_some().iter().all(|(_, change)| *change == Change::Others),
            "the one of 9 is another's: it was gone"
        );
        rereads.all(vec![1, 2], Change::Own);
        assert_eq!(rereads.take_some(), [(1, Change::Own), (2, Change::Own)]);
    }

    #[test]
    fn one_that_is_asked_for_is_read_last_as_new() {
        let mut rereads = Rereads::default();
        rereads.all(vec![1], Change::Others);
        rereads.add(5);
        assert_eq!(rereads.take_some(), [(1, Change::Others), (5, Change::Own)]);
    }

    #[test]
    fn a_refusal_is_looked_into_once_for_each_change_of_the_catalogue() {
        let mut rereads = Rereads::default();
        rereads.heard(3);
        assert!(rereads.may_be_stale(7));
        assert!(!rereads.may_be_stale(7), "it was read anew, and is refused again");
        assert!(rereads.may_be_stale(8), "each by itself");
        rereads.heard(4);
        assert!(rereads.may_be_stale(7), "its names may have changed since");
        assert!(!rereads.may_be_stale(7));
        rereads.mended(7);
        assert!(rereads.may_be_stale(7));
        rereads.changed(&[]);
        let mut read = next(&mut rereads);
        read.sort_unstable();
        assert_eq!(read, [7, 8]);
    }
}
