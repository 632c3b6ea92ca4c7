//! Texts to vectors, without a model: a hashed bag of words, weighted by how rare each word is.
//!
//! Each word (lower-cased, lightly stemmed, stop words dropped) and, with little weight, each pair of neighbours is
//! hashed to a few signed dimensions. Texts that share rare words end up near each other, which is enough for a search
//! "how do I …" over real documents to find the right one. The same text always gives the same vector.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Dimensions that one word touches. More make an accidental collision of two words hurt less, fewer are faster.
const DIMENSIONS_PER_WORD: u64 = 4;
/// Weight of a pair of neighbouring words against the words themselves.
const PAIR_WEIGHT: f32 = 0.3;
/// Words of a passage when frequencies are learnt: about a chunk, so that a word that fills one long document is rare.
const PASSAGE_WORDS: usize = 120;
/// Weight of a word that nobody said anything about, when nothing was learnt.
const ORDINARY: f32 = 3.0;
/// Weight of a very common word, when nothing was learnt.
const COMMON: f32 = 1.0;

/// Words that say nothing about the subject of a text.
const STOP_WORDS: &str = "a about after all also am an and any are as at be because been before being but by can could did do \
    does doing each either for from had has have having he her here hers him his how i if in into is it its itself just \
    like may me might more most must my no nor not of off on once only or other our ours out over own same shall she should \
    so some such than that the their theirs them then there these they this those through to too under until up upon us very \
    was we were what when where whether which while who whom why will with within without would you your yours";

/// Common English words that say little about the subject of a text.
const COMMON_WORDS: &str = "able add allow ask available back become begin below best better between big both bring call case \
    change come common consider contain current day default different down end even every example fact far few find first \
    follow form full general get give go good great group hand help high hold include information keep kind know large last \
    later least leave less let level line list little long look made main make man many mean mode move much name need never \
    new next note now number old one open order page part people place point possible provide put read right run say second \
    section see seem set several show simple since small something special specific start state still support sure system \
    take tell thing think three time try turn two type use user usual value want way well whole word work world write year yes";

/// What is known about the frequency of words. [`Vocabulary::default`] knows a short list of common English words.
pub struct Vocabulary {
    /// Weights by the hash of the stem.
    weights: HashMap<u64, f32>,
    /// Weight of a word that is not in `weights`.
    unknown: f32,
    stop: HashSet<u64>,
}

impl Default for Vocabulary {
    fn default() -> Self {
        let common = COMMON_WORDS.split_whitespace().map(|word| (hash(stem(word)), COMMON));
        Vocabulary {
            weights: common.collect(),
            unknown: ORDINARY,
            stop: stop_words(),
        }
    }
}

impl Vocabulary {
    /// Learns from all text files below a folder; files that are not UTF-8 are passed over.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub fn learn(folder: &Path) -> io::Result<Vocabulary> {
        let mut vocabulary = Vocabulary {
            weights: HashMap::new(),
            unknown: ORDINARY,
            stop: stop_words(),
        };
        let mut passages = 0u32;
        let mut passages_with: HashMap<u64, u32> = HashMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else if let Ok(text) = String::from_utf8(std::fs::read(entry.path())?) {
                    for passage in vocabulary.stems(&text).chunks(PASSAGE_WORDS) {
                        passages += 1;
                        for stem in passage.iter().collect::<HashSet<_>>() {
                            *passages_with.entry(*stem).or_default() += 1;
                        }
                    }
                }
            }
        }
        if passages > 0 {
            let weight = |with: u32| (1.0 + f64::from(passages) / f64::from(with + 1)).ln() as f32;
            vocabulary.weights = passages_with
                .into_iter()
                .map(|(stem, with)| (stem, weight(with)))
                .collect();
            vocabulary.unknown = weight(0);
        }
        Ok(vocabulary)
    }

    /// The vector of a text: `dimensions` finite numbers, of length 1.
    ///
    /// ```
    /// use provider::vectors::Vocabulary;
    /// let vocabulary = Vocabulary::default();
    /// let near = |a: &str, b: &str| -> f32 {
    ///     std::iter::zip(vocabulary.embed(a, 256), vocabulary.embed(b, 256)).map(|(a, b)| a * b).sum()
    /// };
    /// let question = "How do I restore a backup?";
    /// assert!(near(question, "Restoring backups takes one command.") > near(question, "Cats sleep all day."));
    /// ```
    pub fn embed(&self, text: &str, dimensions: usize) -> Vec<f32> {
        let mut vector = vec![0f32; dimensions];
        if dimensions == 0 {
            return vector;
        }
        let stems = self.stems(text);
        let mut features: HashMap<u64, (f32, u32)> = HashMap::with_capacity(stems.len() * 2);
        for (index, stem) in stems.iter().enumerate() {
            let weight = self.weight(*stem);
            features.entry(*stem).or_insert((weight, 0)).1 += 1;
            if let Some(next) = stems.get(index + 1) {
                let pair_weight = PAIR_WEIGHT * (weight + self.weight(*next)) / 2.0;
                features
                    .entry(mix(stem.rotate_left(17) ^ next))
                    .or_insert((pair_weight, 0))
                    .1 += 1;
            }
        }
        // Sums of floats depend on their order, and the order of a HashMap on chance.
        let mut features: Vec<_> = features.into_iter().collect();
        features.sort_unstable_by_key(|(feature, _)| *feature);
        for (feature, (weight, times)) in features {
            scatter(&mut vector, feature, weight * (1.0 + (times as f32).ln()));
        }
        let mut length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length < f32::EPSILON {
            // A text without words still needs a direction: the distance to a zero vector is not a number.
            vector.fill(0.0);
            vector[(hash(text.bytes()) % dimensions as u64) as usize] = 1.0;
            length = 1.0;
        }
        vector.iter_mut().for_each(|x| *x /= length);
        vector
    }

    fn weight(&self, stem: u64) -> f32 {
        self.weights.get(&stem).copied().unwrap_or(self.unknown)
    }

    /// Hashes of the stems of a text, in order, stop words left out.
    fn stems(&self, text: &str) -> Vec<u64> {
        let mut stems = Vec::with_capacity(text.len() / 8);
        let mut lower = String::new();
        for word in text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
        {
            lower.clear();
            lower.extend(word.chars().flat_map(char::to_lowercase));
            if !self.stop.contains(&hash(lower.bytes())) {
                stems.push(hash(stem(&lower)));
            }
        }
        stems
    }
}

/// A vector as it stands in an answer, by its dimensions and whether it is base64. Every number of it differs
/// from zero, as those of a model do, so that it is as long in JSON.
#[derive(Default)]
pub struct SameVector {
    written: Mutex<HashMap<(usize, bool), Arc<str>>>,
}

impl SameVector {
    /// The vector of that many dimensions, written by `write` when it is asked for the first time.
    pub fn written(&self, dimensions: usize, base64: bool, write: impl FnOnce(&[f32]) -> String) -> Arc<str> {
        let mut written = self.written.lock().expect("writing a vector does not panic");
        let vector = written.entry((dimensions, base64)).or_insert_with(|| {
            let numbers: Vec<f32> = (0..dimensions as u64)
                .map(|place| (mix(place) as f32 / u64::MAX as f32 - 0.5) / (dimensions as f32 / 12.0).sqrt())
                .collect();
            write(&numbers).into()
        });
        Arc::clone(vector)
    }
}

fn stop_words() -> HashSet<u64> {
    STOP_WORDS.split_whitespace().map(|word| hash(word.bytes())).collect()
}

/// The bytes of a word without its ending: index, indexes, indexed and indexing become one; so do replica and replicas.
fn stem(word: &str) -> impl Iterator<Item = u8> + '_ {
    let endings: [(&str, usize, &str); 9] = [
        ("ies", 2, "y"),
        ("sses", 2, "ss"),
        ("ing", 4, ""),
        ("ed", 4, ""),
        ("es", 4, ""),
        ("ss", 0, "ss"),
        ("us", 0, "us"),
        ("is", 0, "is"),
        ("s", 3, ""),
    ];
    let ending = endings.into_iter().find_map(|(ending, least, instead)| {
        let base = word.strip_suffix(ending)?;
        (base.chars().count() >= least).then_some((base, instead))
    });
    let (base, instead) = ending.unwrap_or((word, ""));
    let base = if base.len() > 3 {
        base.strip_suffix('e').unwrap_or(base)
    } else {
        base
    };
    // stopping → stopp → stop
    let bytes = base.as_bytes();
    let doubled = ending.is_some() && instead.is_empty() && bytes.len() > 3 && {
        let last = bytes[bytes.len() - 1];
        last == bytes[bytes.len() - 2] && last.is_ascii_lowercase() && !b"aeiouls".contains(&last)
    };
    base.bytes()
        .take(base.len() - usize::from(doubled))
        .chain(instead.bytes())
}

/// FNV-1a with a finisher: FNV alone leaves the high bits of short words alike.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    mix(bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

/// The finisher of SplitMix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn scatter(vector: &mut [f32], feature: u64, weight: f32) {
    for turn in 1..=DIMENSIONS_PER_WORD {
        let bits = mix(feature.wrapping_add(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let sign = if bits >> 63 == 0 { 1.0 } else { -1.0 };
        vector[(bits % vector.len() as u64) as usize] += sign * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stemmed(word: &str) -> String {
        String::from_utf8(stem(word).collect()).unwrap()
    }

    #[test]
    fn forms_of_a_word_share_a_stem() {
        for forms in [
            ["index", "indexes", "indexed", "indexing"],
            ["query", "queries", "query", "query"],
            ["replicate", "replicates", "replicated", "replicating"],
            ["stop", "stops", "stopped", "stopping"],
            ["class", "classes", "class", "class"],
            ["call", "calls", "called", "calling"],
        ] {
            for form in forms {
                assert_eq!(stemmed(form), stemmed(forms[0]), "{form}");
            }
        }
        for unchanged in ["status", "this", "ring", "bed", "gas"] {
            assert_eq!(stemmed(unchanged), unchanged);
        }
    }

    #[test]
    fn vectors_are_deterministic_and_of_length_one() {
        for text in ["", "...", "the", "one two three", "Čeština, русский, 日本語"] {
            for dimensions in [1, 2, 3, 768] {
                let vector = Vocabulary::default().embed(text, dimensions);
                assert_eq!(vector, Vocabulary::default().embed(text, dimensions));
                assert_eq!(vector.len(), dimensions);
                let length = vector.iter().map(|x| x * x).sum::<f32>();
                assert!((length - 1.0).abs() < 1e-3, "{text:?} {dimensions}: {length}");
            }
        }
    }

    #[test]
    fn a_question_finds_its_passage_among_others() {
        let folder = tempfile::tempdir().unwrap();
        let passages = [
            (
                "backup.txt",
                "To restore a database from a dump, run the restore program with the name of the dump file.",
            ),
            (
                "index.txt",
                "Creating an index concurrently does not block writes to the table of the database.",
            ),
            (
                "roles.txt",
                "A role can be granted membership in another role; privileges are then inherited.",
            ),
            (
                "vacuum.txt",
                "Vacuuming reclaims the space of deleted rows in a table of the database.",
            ),
        ];
        for (name, text) in passages {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::write(folder.path().join("binary"), [0xff, 0xfe, 0x00]).unwrap();
        for vocabulary in [Vocabulary::default(), Vocabulary::learn(folder.path()).unwrap()] {
            for (question, right) in [
                ("how do I restore dumps?", "backup.txt"),
                ("which indexes can be created without blocking writers", "index.txt"),
                ("granting privileges to roles", "roles.txt"),
                ("what happens to the space of a deleted row", "vacuum.txt"),
            ] {
                let asked = vocabulary.embed(question, 768);
                let nearness = |text: &str| -> f32 {
                    std::iter::zip(&asked, vocabulary.embed(text, 768))
                        .map(|(a, b)| a * b)
                        .sum()
                };
                let (found, _) = passages
                    .into_iter()
                    .max_by(|a, b| nearness(a.1).total_cmp(&nearness(b.1)))
                    .unwrap();
                assert_eq!(found, right, "{question}");
            }
        }
    }

    #[test]
    fn the_same_vector_is_written_once_for_each_form() {
        let same = SameVector::default();
        let written = same.written(1536, true, |numbers| {
            let length = numbers.iter().map(|x| x * x).sum::<f32>();
            assert!((length - 1.0).abs() < 0.1, "{length}");
            assert!(numbers.iter().all(|number| *number != 0.0));
            format!("{} numbers", numbers.len())
        });
        assert_eq!(&*written, "1536 numbers");
        assert_eq!(
            &*same.written(1536, true, |_| unreachable!("it is known")),
            "1536 numbers"
        );
        assert_eq!(&*same.written(1536, false, |_| "[1]".to_owned()), "[1]");
    }
}
