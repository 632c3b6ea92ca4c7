//! Which documents share a transaction, and in which order the batches have theirs.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Most documents in a transaction: enough that its commit costs each of them little, few enough
/// that a user who wants one of their rows waits for milliseconds.
pub const BATCH: usize = 128;
/// The same for the chunks that are written.
pub const BATCH_CHUNKS: usize = 384;

/// A document that waits for a step `S` of the main thread.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<S> {
    /// Of its job: the older the smaller.
    pub number: u64,
    /// Whose document it is.
    pub vectorizer: i32,
    /// What it waits for.
    pub step: S,
    /// The database has refused the step of it together with others: it is done by itself.
    pub singly: bool,
    /// Chunks that the step writes.
    pub chunks: usize,
    /// The length of its key in bytes.
    pub key: usize,
}

/// A batch that is being made.
#[derive(Default)]
struct OpenBatch {
    numbers: Vec<u64>,
    chunks: usize,
    keys: usize,
}

/// Those together that can share a transaction: of one vectorizer, waiting for the same step, and
/// not too many, nor with too many new chunks, nor with `most_keys` bytes of keys or more. Full
/// batches come first.
pub fn cut<S: Copy + Eq + Hash>(waiting: impl Iterator<Item = Waiting<S>>, most_keys: usize) -> Vec<(S, Vec<u64>)> {
    let mut places: HashMap<(i32, S, bool), usize> = HashMap::new();
    let mut open: Vec<(S, OpenBatch)> = Vec::new();
    let mut full = Vec::new();
    for one in waiting {
        let place = *places.entry((one.vectorizer, one.step, one.singly)).or_insert_with(|| {
            open.push((one.step, OpenBatch::default()));
            open.len() - 1
        });
        let (step, batch) = &mut open[place];
        // A large document goes alone: the others need not be locked for as long.
        if one.chunks >= BATCH_CHUNKS && !batch.numbers.is_empty() {
            full.push((*step, std::mem::take(batch).numbers));
        }
        batch.numbers.push(one.number);
        batch.chunks += one.chunks;
        batch.keys += one.key;
        if batch.numbers.len() >= BATCH || batch.chunks >= BATCH_CHUNKS || batch.keys >= most_keys {
            full.push((*step, std::mem::take(batch).numbers));
        }
    }
    let rest = open.into_iter().filter(|(_, batch)| !batch.numbers.is_empty());
    full.extend(rest.map(|(step, batch)| (step, batch.numbers)));
    full
}

/// A batch that may have its transaction in a round.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Its step is done soon, and gives the network threads something to do.
    pub is_quick: bool,
    /// What its owner has taken lately.
    pub spent: Duration,
    /// Code of its owner was cut short as documents of its vectorizer were written.
    pub is_slow: bool,
    /// The number of its oldest document.
    pub oldest: u64,
}

/// The batches of a round, by their places, in the order of their transactions; and whether others
/// are left for the next.
///
/// What gives the network threads something to do comes first, and of what takes long (to write,
/// above all) only one batch, that of the oldest document: between two, others are claimed and
/// compared. Otherwise all documents would be written, and then all be at the provider, and one of
/// the two would always be idle. The owner that has taken little of the main thread's time has it
/// first, and where code was too slow that runs as documents are written, they come after the
/// others of its owner.
pub fn of_round(ready: &[Ready]) -> (Vec<usize>, bool) {
    let (mut order, long): (Vec<usize>, Vec<usize>) = (0..ready.len()).partition(|index| ready[*index].is_quick);
    order.sort_by_key(|index| ready[*index].spent);
    let next = long.iter().copied().min_by_key(|index| {
        let batch = &ready[*index];
        (batch.spent, batch.is_slow, batch.oldest)
    });
    order.extend(next);
    (order, long.len() > 1)
}

/// Whose stored chunks there is room for, beside the `held` ones, by their numbers; `most` in all.
/// What has none takes no room.
pub fn have_room(stored: impl Iterator<Item = usize>, held: usize, most: usize) -> Vec<bool> {
    let mut taken = held;
    stored
        .map(|count| {
            let fits = count == 0 || taken.saturating_add(count) <= most;
            if fits {
                taken = taken.saturating_add(count);
            }
            fits
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: usize = 1 << 20;

    fn waiting(number: u64, vectorizer: i32, step: char, chunks: usize) -> Waiting<char> {
        Waiting {
            number,
            vectorizer,
            step,
            singly: false,
            chunks,
            key: 10,
        }
    }

    fn sizes(batches: &[(char, Vec<u64>)]) -> Vec<usize> {
        batches.iter().map(|(_, batch)| batch.len()).collect()
    }

    #[test]
    fn documents_of_one_vectorizer_and_step_go_together() {
        let mut documents = vec![
            waiting(1, 7, 'w', 1),
            waiting(2, 8, 'w', 1),
            waiting(3, 7, 'c', 0),
            waiting(4, 7, 'w', 1),
        ];
        documents.push(Waiting {
            singly: true,
            ..waiting(5, 7, 'w', 1)
        });
        let batches = cut(documents.into_iter(), KEYS);
        let expected = [('w', vec![1, 4]), ('w', vec![2]), ('c', vec![3]), ('w', vec![5])];
        assert_eq!(batches, expected);
        assert_eq!(cut(std::iter::empty::<Waiting<char>>(), KEYS), []);
    }

    #[test]
    fn a_batch_has_so_many_documents_at_most() {
        let documents = (0..300).map(|number| waiting(number, 7, 'c', 0));
        let batches = cut(documents, KEYS);
        assert_eq!(sizes(&batches), [128, 128, 44]);
        let numbers: Vec<u64> = batches.into_iter().flat_map(|(_, batch)| batch).collect();
        assert_eq!(
            numbers,
            (0..300).collect::<Vec<_>>(),
            "in the order of their age, each once"
        );
    }

    #[test]
    fn a_batch_has_so_many_chunks_that_a_user_waits_for_milliseconds() {
        let batches = cut((0..10).map(|number| waiting(number, 7, 'w', 100)), KEYS);
        assert_eq!(sizes(&batches), [4, 4, 2]);
    }

    #[test]
    fn a_large_document_goes_alone() {
        let chunks = [1, 1, 384, 1, 5000, 5000, 1];
        let documents = (0..)
            .zip(chunks)
            .map(|(number, chunks)| waiting(number, 7, 'w', chunks));
        let batches = cut(documents, KEYS);
        let expected = [vec![0, 1], vec![2], vec![3], vec![4], vec![5], vec![6]];
        assert_eq!(batches, expected.map(|batch| ('w', batch)));
    }

    #[test]
    fn keys_of_a_batch_have_a_bound() {
        let documents = (0..5).map(|number| Waiting {
            key: KEYS / 2,
            ..waiting(number, 7, 'c', 0)
        });
        assert_eq!(sizes(&cut(documents, KEYS)), [2, 2, 1]);
    }

    fn ready(is_quick: bool, spent: u64, oldest: u64) -> Ready {
        Ready {
            is_quick,
            spent: Duration::from_millis(spent),
            is_slow: false,
            oldest,
        }
    }

    #[test]
    fn all_that_is_quick_comes_before_one_that_takes_long() {
        let round = [
            ready(false, 0, 1),
            ready(true, 5, 2),
            ready(false, 0, 3),
            ready(true, 0, 4),
        ];
        assert_eq!(of_round(&round), (vec![3, 1, 0], true));
        assert_eq!(of_round(&round[..2]), (vec![1, 0], false));
        assert_eq!(of_round(&[]), (vec![], false));
    }

    #[test]
    fn who_has_taken_little_writes_first_and_slow_code_last_among_its_owners() {
        let slow = Ready {
            is_slow: true,
            ..ready(false, 5, 1)
        };
        assert_eq!(of_round(&[ready(false, 5, 9), slow]).0, [0]);
        assert_eq!(of_round(&[ready(false, 5, 9), ready(false, 5, 8)]).0, [1], "the oldest");
        assert_eq!(of_round(&[ready(false, 6, 1), slow]).0, [1], "its owner has taken less");
    }

    #[test]
    fn stored_chunks_are_read_as_far_as_there_is_room() {
        let table: [(&[usize], usize, usize, &[bool]); 5] = [
            (&[10, 10, 10], 0, 25, &[true, true, false]),
            (&[10, 20, 10], 0, 25, &[true, false, true]),
            (&[10, 0, 0], 25, 25, &[false, true, true]),
            (&[30], 0, 25, &[false]),
            (&[25], 0, 25, &[true]),
        ];
        for (stored, held, most, fit) in table {
            assert_eq!(
                have_room(stored.iter().copied(), held, most),
                fit,
                "{stored:?} {held} {most}"
            );
        }
    }
}
