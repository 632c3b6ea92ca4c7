//! How the stored chunks of a document differ from what they should be.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use crate::plan::{self, Digest, Plan};
use crate::texts::Texts;

/// A chunk as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number, counted from 0.
    pub seq: i32,
    /// Its text; `None` where that is only known by its digest.
    pub text: Option<String>,
    /// What tells its text from others, where the text itself is not there; `None` where it is longer than
    /// any text of ours.
    pub digest: Option<Digest>,
    /// Length of its vector; `None` when there is none.
    pub dimensions: Option<usize>,
}

impl Stored {
    /// What tells its text from others.
    fn digest(&self) -> Option<Digest> {
        self.text.as_deref().map(Digest::of).or(self.digest)
    }
}

/// In what way a chunk, or a document, is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is not stored.
    Missing,
    /// It is stored, but there is no such chunk in the document.
    Unexpected,
    /// Its text is another, or its vector is that of another text.
    Text,
    /// Its number is another.
    Sequence,
    /// Its number is that of another chunk, too.
    Duplicate,
    /// Its vector has another length.
    Dimensions,
    /// It has no vector.
    Vector,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Problem::Missing => "missing",
            Problem::Unexpected => "unexpected",
            Problem::Text => "text",
            Problem::Sequence => "sequence",
            Problem::Duplicate => "duplicate",
            Problem::Dimensions => "dimensions",
            Problem::Vector => "vector",
        })
    }
}

/// The texts that a document should have. All of them may be far longer than what they are made of, so they
/// are asked for one by one.
pub trait Expected {
    /// How many there are.
    fn number(&self) -> usize;
    /// One of them, by its number from 0, which is below [`Expected::number`].
    fn text(&self, seq: usize) -> Cow<'_, str>;
}

impl Expected for [String] {
    fn number(&self) -> usize {
        self.len()
    }

    fn text(&self, seq: usize) -> Cow<'_, str> {
        Cow::Borrowed(&self[seq])
    }
}

impl Expected for Texts {
    fn number(&self) -> usize {
        self.len()
    }

    fn text(&self, seq: usize) -> Cow<'_, str> {
        self.get(seq)
    }
}

/// One difference. `detail` is for people and holds no text of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The chunk; `None` when it concerns the whole document.
    pub seq: Option<i32>,
    /// What is wrong.
    pub problem: Problem,
    /// With which values.
    pub detail: String,
}

/// Compares what is stored of a document, in the order of its numbers, with the texts that it should have and the
/// length that its vectors should have. Nothing comes out when it is as the worker would write it.
///
/// ```
/// use ai_pipeline::verify::{Problem, Stored, differences};
/// let stored = [Stored { seq: 0, text: Some("one".to_owned()), digest: None, dimensions: Some(3) }];
/// assert!(differences(&["one".to_owned()][..], &stored, 3).is_empty());
/// let found = differences(&["one".to_owned(), "two".to_owned()][..], &stored, 3);
/// assert_eq!((found[0].seq, found[0].problem), (Some(1), Problem::Missing));
/// ```
pub fn differences(expected: &(impl Expected + ?Sized), stored: &[Stored], dimensions: usize) -> Vec<Difference> {
    let length = expected.number();
    if stored.is_empty() && length > 0 {
        let number = length;
        return vec![Difference {
            seq: None,
            problem: Problem::Missing,
            detail: format!("nothing is stored of its {number} chunks"),
        }];
    }
    let texts: Vec<Option<Digest>> = stored.iter().map(Stored::digest).collect();
    let plan = plan::compare(&texts, (0..length).map(|seq| Some(Digest::of(&expected.text(seq)))));
    let mut found = Vec::new();
    let mut add = |seq: i32, problem: Problem, detail: String| {
        found.push(Difference {
            seq: Some(seq),
            problem,
            detail,
        });
    };

    for &(index, seq) in &plan.keep {
        let chunk = &stored[index];
        if chunk.seq != number(seq) {
            let detail = format!("it is stored as number {}", chunk.seq);
            add(number(seq), Problem::Sequence, detail);
        }
        add_vector(chunk, dimensions, &mut add);
    }
    add_strays(expected, stored, &plan, dimensions, &mut add);
    found.sort_by_key(|difference| difference.seq);
    found
}

/// The number of a chunk, as it is stored.
fn number(seq: usize) -> i32 {
    i32::try_from(seq).unwrap_or(i32::MAX)
}

/// Under the number of a chunk that should be there may be one that should not: its text is wrong.
/// What is left of either is missing, or too much.
fn add_strays(
    expected: &(impl Expected + ?Sized),
    stored: &[Stored],
    plan: &Plan,
    dimensions: usize,
    add: &mut impl FnMut(i32, Problem, String),
) {
    let length = expected.number();
    let mut strays: HashMap<i32, Vec<&Stored>> = HashMap::new();
    for &index in plan.remove.iter().rev() {
        strays.entry(stored[index].seq).or_default().push(&stored[index]);
    }
    for &seq in &plan.embed {
        match strays.get_mut(&number(seq)).and_then(Vec::pop) {
            Some(chunk) => {
                add(
                    number(seq),
                    Problem::Text,
                    chunk.text.as_ref().map_or_else(
                        || "the stored text is another".to_owned(),
                        |text| compare_texts(&expected.text(seq), text),
                    ),
                );
                add_vector(chunk, dimensions, add);
            }
            None => add(number(seq), Problem::Missing, "it is not stored".to_owned()),
        }
    }
    for (seq, chunks) in strays {
        for _ in chunks {
            if usize::try_from(seq).is_ok_and(|seq| seq < length) {
                add(seq, Problem::Duplicate, "another chunk has this number, too".to_owned());
            } else {
                let detail = format!("its document has {length} chunks");
                add(seq, Problem::Unexpected, detail);
            }
        }
    }
}

fn add_vector(chunk: &Stored, dimensions: usize, add: &mut impl FnMut(i32, Problem, String)) {
    match chunk.dimensions {
        Some(actual) if actual == dimensions => (),
        Some(actual) => {
            let detail = format!("its vector has {actual} dimensions, {dimensions} were expected");
            add(chunk.seq, Problem::Dimensions, detail);
        }
        None => add(chunk.seq, Problem::Vector, "it has no vector".to_owned()),
    }
}

fn compare_texts(expected: &str, stored: &str) -> String {
    let same = expected.chars().zip(stored.chars()).take_while(|(a, b)| a == b).count();
    format!(
        "the stored text differs from character {} on; it has {} characters, {} were expected",
        same + 1,
        stored.chars().count(),
        expected.chars().count()
    )
}

/// The same for a vector in a column of its row: `expected` says whether its document has a text, `stored` is
/// the length of the vector that is there, and `outdated` whether the text that was last embedded is known to
/// be another.
pub fn column_differences(expected: bool, stored: Option<usize>, dimensions: usize, outdated: bool) -> Vec<Difference> {
    let (problem, detail) = match (expected, stored) {
        (true, None) => (Problem::Missing, "the column is NULL".to_owned()),
        (false, Some(_)) => (
            Problem::Unexpected,
            "the column has a vector, but the document is empty".to_owned(),
        ),
        (true, Some(actual)) if actual != dimensions => (
            Problem::Dimensions,
            format!("the vector has {actual} dimensions, {dimensions} were expected"),
        ),
        (true, Some(_)) if outdated => (
            Problem::Text,
            "the document, or a column that its template names, has changed since the vector was made".to_owned(),
        ),
        (true, Some(_)) | (false, None) => return Vec::new(),
    };
    vec![Difference {
        seq: None,
        problem,
        detail,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(chunks: &[(i32, &str)]) -> Vec<Stored> {
        let chunk = |&(seq, text): &(i32, &str)| Stored {
            seq,
            text: Some(text.to_owned()),
            digest: None,
            dimensions: Some(2),
        };
        chunks.iter().map(chunk).collect()
    }

    /// `seq problem`, in their order.
    fn found(expected: &[&str], stored: &[Stored]) -> Vec<String> {
        let expected: Vec<String> = expected.iter().map(|&text| text.to_owned()).collect();
        let found = differences(expected.as_slice(), stored, 2);
        found
            .iter()
            .map(|difference| match difference.seq {
                Some(seq) => format!("{seq} {}", difference.problem),
                None => format!("all {}", difference.problem),
            })
            .collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn what_the_worker_writes_has_no_differences() {
        assert_eq!(found(&NONE, &[]), NONE);
        assert_eq!(found(&["a", "b", "a"], &stored(&[(0, "a"), (1, "b"), (2, "a")])), NONE);
    }

    #[test]
    fn a_document_that_is_not_there_is_one_difference() {
        assert_eq!(found(&["a", "b"], &[]), ["all missing"]);
    }

    #[test]
    fn a_chunk_too_few_or_too_many() {
        assert_eq!(found(&["a", "b"], &stored(&[(0, "a")])), ["1 missing"]);
        assert_eq!(found(&["a", "b"], &stored(&[(1, "b")])), ["0 missing"]);
        assert_eq!(found(&["a"], &stored(&[(0, "a"), (1, "b")])), ["1 unexpected"]);
        assert_eq!(found(&NONE, &stored(&[(0, "a")])), ["0 unexpected"]);
        assert_eq!(found(&["a"], &stored(&[(-1, "b"), (0, "a")])), ["-1 unexpected"]);
    }

    #[test]
    fn a_text_that_has_changed() {
        assert_eq!(found(&["a", "b"], &stored(&[(0, "a"), (1, "c")])), ["1 text"]);
        let changed = differences(&["über alles".to_owned()][..], &stored(&[(0, "über allem")]), 2);
        let detail = "the stored text differs from character 10 on; it has 10 characters, 10 were expected";
        assert_eq!(changed[0].detail, detail);
    }

    #[test]
    fn texts_that_are_known_by_their_digests() {
        let known = |seq: i32, digest: Option<Digest>| Stored {
            seq,
            text: None,
            digest,
            dimensions: Some(2),
        };
        let expected = ["a".to_owned(), "b".to_owned()];
        let stored = [known(0, Some(Digest::of("a"))), known(1, Some(Digest::of("b")))];
        assert_eq!(differences(&expected[..], &stored, 2), []);
        // Of one that is too long to be ours there is no digest.
        let stored = [known(0, None), known(1, Some(Digest::of("c")))];
        let differences = differences(&expected[..], &stored, 2);
        let found: Vec<_> = differences.iter().map(|found| (found.seq, found.problem)).collect();
        assert_eq!(found, [(Some(0), Problem::Text), (Some(1), Problem::Text)]);
        assert_eq!(differences[0].detail, "the stored text is another");
    }

    #[test]
    fn right_texts_under_wrong_numbers() {
        let swapped = stored(&[(0, "b"), (1, "a")]);
        assert_eq!(found(&["a", "b"], &swapped), ["0 sequence", "1 sequence"]);
        assert_eq!(found(&["a"], &stored(&[(7, "a")])), ["0 sequence"]);
    }

    #[test]
    fn two_chunks_of_one_number() {
        assert_eq!(found(&["a"], &stored(&[(0, "a"), (0, "a")])), ["0 duplicate"]);
        assert_eq!(found(&["a"], &stored(&[(0, "b"), (0, "a")])), ["0 duplicate"]);
    }

    #[test]
    fn a_vector_that_is_not_what_was_asked_for() {
        let mut chunks = stored(&[(0, "a"), (1, "b")]);
        chunks[0].dimensions = Some(3);
        chunks[1].dimensions = None;
        assert_eq!(found(&["a", "b"], &chunks), ["0 dimensions", "1 vector"]);
    }

    #[test]
    fn a_vector_in_a_column() {
        let found = |expected, stored, outdated| {
            let found = column_differences(expected, stored, 2, outdated);
            found.iter().map(|difference| difference.problem).collect::<Vec<_>>()
        };
        assert_eq!(found(true, Some(2), false), []);
        assert_eq!(found(false, None, false), []);
        assert_eq!(found(false, None, true), []);
        assert_eq!(found(true, None, true), [Problem::Missing]);
        assert_eq!(found(false, Some(2), false), [Problem::Unexpected]);
        assert_eq!(found(true, Some(3), true), [Problem::Dimensions]);
        assert_eq!(found(true, Some(2), true), [Problem::Text]);
    }
}
