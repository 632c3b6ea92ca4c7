//! Which stored chunks of a document keep their vectors, and which texts have to be embedded.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use sha2::{Digest as _, Sha256};

/// What a text is told from others by where it would take too much room: its SHA-256, as Postgres' `sha256`
/// makes it of the text in UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of a text.
    ///
    /// ```
    /// use ai_pipeline::plan::Digest;
    /// assert_eq!(Digest::of("a"), Digest::of("a"));
    /// assert_ne!(Digest::of("a"), Digest::of("b"));
    /// ```
    pub fn of(text: &str) -> Digest {
        Digest(Sha256::digest(text).into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// One that Postgres made; `None` when it has another length than 32 bytes.
    pub fn stored(bytes: &[u8]) -> Option<Digest> {
        bytes.try_into().ok().map(Digest)
    }
}

/// The digest of the beginning of texts.
#[derive(Clone, Debug)]
pub struct PrefixDigest(Sha256);

impl PrefixDigest {
    /// Of what they begin with.
    pub fn of(text: &str) -> PrefixDigest {
        PrefixDigest(Sha256::new_with_prefix(text))
    }

    /// Of the text that has these parts behind it.
    ///
    /// ```
    /// use ai_pipeline::plan::{PrefixDigest, Digest};
    /// assert_eq!(PrefixDigest::of("tea").and(["po", "ts"].into_iter()), Digest::of("teapots"));
    /// ```
    pub fn and<'t>(&self, parts: impl Iterator<Item = &'t str>) -> Digest {
        let mut all = self.0.clone();
        parts.for_each(|part| all.update(part));
        Digest(all.finalize().into())
    }
}

/// What is to be done to turn the stored chunks of one document into the new ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// `(index of the stored chunk, new sequence number)`: the vector stays, the number may change.
    pub keep: Vec<(usize, usize)>,
    /// Indexes of new texts (also their sequence numbers) that need a vector.
    pub embed: Vec<usize>,
    /// Indexes of stored chunks that go.
    pub remove: Vec<usize>,
}

/// Compares the stored texts of a document with the new ones: the texts themselves, or their digests.
///
/// A stored chunk serves one new chunk of the same text; where a text occurs several times, the occurrences are paired
/// in order, so an unchanged document yields a plan that changes nothing.
///
/// ```
/// use ai_pipeline::plan::compare;
/// let plan = compare(&["intro", "old", "end"], ["intro", "new", "end"]);
/// assert_eq!(plan.keep, [(0, 0), (2, 2)]);
/// assert_eq!(plan.embed, [1]);
/// assert_eq!(plan.remove, [1]);
/// ```
pub fn compare<T: Eq + Hash>(stored: &[T], new: impl IntoIterator<Item = T>) -> Plan {
    let mut by_text: HashMap<&T, VecDeque<usize>> = HashMap::new();
    for (index, text) in stored.iter().enumerate() {
        by_text.entry(text).or_default().push_back(index);
    }
    let mut plan = Plan::default();
    for (seq, text) in new.into_iter().enumerate() {
        match by_text.get_mut(&text).and_then(|indexes| indexes.pop_front()) {
            Some(index) => plan.keep.push((index, seq)),
            None => plan.embed.push(seq),
        }
    }
    plan.remove = by_text.into_values().flatten().collect();
    plan.remove.sort_unstable();
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [&str; 0] = [];

    #[test]
    fn an_unchanged_document_costs_nothing() {
        let plan = compare(&["a", "b", "a"], ["a", "b", "a"]);
        assert_eq!(
            plan,
            Plan {
                keep: vec![(0, 0), (1, 1), (2, 2)],
                embed: vec![],
                remove: vec![]
            }
        );
    }

    #[test]
    fn a_new_document_is_embedded_whole_and_an_emptied_one_removed_whole() {
        assert_eq!(compare(&NONE, ["a", "a"]).embed, [0, 1]);
        assert_eq!(compare(&["a", "a"], NONE).remove, [0, 1]);
    }

    #[test]
    fn a_paragraph_put_in_front_moves_the_others() {
        let plan = compare(&["a", "b"], ["new", "a", "b"]);
        assert_eq!(plan.keep, [(0, 1), (1, 2)]);
        assert_eq!(plan.embed, [0]);
        assert!(plan.remove.is_empty());
    }

    #[test]
    fn a_repeated_text_keeps_as_many_vectors_as_it_had() {
        let plan = compare(&["a"], ["a", "a", "a"]);
        assert_eq!(plan.keep, [(0, 0)]);
        assert_eq!(plan.embed, [1, 2]);
    }
}
