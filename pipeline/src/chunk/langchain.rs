//! The behaviour of Python's langchain-text-splitters 1.1: `CharacterTextSplitter` and `RecursiveCharacterTextSplitter`.
//!
//! Pieces are byte ranges of the text with their length in code points, counted once. `tests/chunk.rs` holds the
//! comparison with the original.

use std::borrow::Cow;

use super::Error;
use super::separator::{Cut, Separator, pieces};

/// LangChain's separators where the list is empty.
const DEFAULT_SEPARATORS: [&str; 4] = ["\n\n", "\n", " ", ""];

/// A stretch of the text between two cuts; never empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// Length in code points.
    pub length: usize,
}

/// Size and overlap of chunks, checked as LangChain checks them.
#[derive(Debug)]
pub(super) struct Limits {
    pub size: usize,
    pub overlap: usize,
}

impl Limits {
    /// `names` are the parameters' names, for messages.
    pub fn new(names: [&'static str; 2], size: i32, overlap: i32) -> Result<Limits, Error> {
        match (usize::try_from(size), usize::try_from(overlap)) {
            (Err(_) | Ok(0), _) => Err(Error::Size { name: names[0], size }),
            (_, Err(_)) => Err(Error::NegativeOverlap {
                name: names[1],
                overlap,
            }),
            (Ok(chars), Ok(shared)) if shared > chars => Err(Error::OverlapAboveSize { size, overlap }),
            (Ok(size), Ok(overlap)) => Ok(Limits { size, overlap }),
        }
    }
}

/// Python's `str.strip()`: Unicode white space and the four separators U+001C to U+001F.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}

/// How merged pieces become one text again.
enum Joint<'s> {
    /// The pieces are neighbours in the text: a chunk is a slice of it.
    Slice,
    /// The separator was dropped, and this is put in its place.
    Glue { text: &'s str, length: usize },
}

impl Joint<'_> {
    fn length(&self) -> usize {
        match self {
            Joint::Slice => 0,
            Joint::Glue { length, .. } => *length,
        }
    }

    /// Appends the pieces as one trimmed chunk, or nothing if that is blank.
    fn emit<'t>(&self, text: &'t str, pieces: &[Piece], chunks: &mut Vec<Cow<'t, str>>) {
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
            return;
        };
        let held = &text[first.start..last.end];
        let chunk = match self {
            Joint::Slice => Cow::Borrowed(strip(held)),
            Joint::Glue { text: glue, .. } => {
                let mut joined = String::with_capacity(held.len());
                for (index, piece) in pieces.iter().enumerate() {
                    if index > 0 {
                        joined.push_str(glue);
                    }
                    joined.push_str(&text[piece.start..piece.end]);
                }
                // What was dropped between them is mostly what is put there.
                if joined == held {
                    Cow::Borrowed(strip(held))
                } else {
                    Cow::Owned(strip(&joined).to_owned())
                }
            }
        };
        if !chunk.is_empty() {
            chunks.push(chunk);
        }
    }
}

/// Collects pieces into chunks up to the size; each chunk after the first begins with the last pieces of the one before,
/// as many as the overlap holds and the next piece leaves room for.
///
/// The window over `pieces` moves forward only, so the time is linear in the pieces and in what is written.
fn merge<'t>(text: &'t str, pieces: &[Piece], joint: &Joint, limits: &Limits, chunks: &mut Vec<Cow<'t, str>>) {
    let glue = joint.length();
    let mut first = 0;
    let mut total = 0;
    for (index, piece) in pieces.iter().enumerate() {
        let exceeds = |total: usize, first: usize| {
            let glue = if first < index { glue } else { 0 };
            total + piece.length + glue > limits.size
        };
        if exceeds(total, first) && first < index {
            joint.emit(text, &pieces[first..index], chunks);
            while total > limits.overlap || (total > 0 && exceeds(total, first)) {
                total -= pieces[first].length + if first + 1 < index { glue } else { 0 };
                first += 1;
            }
        }
        total += piece.length + if first < index { glue } else { 0 };
    }
    joint.emit(text, &pieces[first..], chunks);
}

/// Cuts at one separator, drops it, and merges with it in between. A piece longer than the size stays whole.
#[derive(Debug)]
pub(super) struct Character {
    limits: Limits,
    separator: Separator,
    /// Put between merged pieces. For a regular expression this is LangChain's too: the *text of the expression*, unless
    /// that begins with a look-around.
    glue: String,
}

impl Character {
    pub fn new(limits: Limits, separator: &str, is_regex: bool) -> Result<Character, Error> {
        let look_around = is_regex
            && ["(?=", "(?<!", "(?<=", "(?!"]
                .iter()
                .any(|start| separator.starts_with(start));
        let glue = if look_around {
            String::new()
        } else {
            separator.to_owned()
        };
        Ok(Character {
            limits,
            separator: Separator::new(separator, is_regex)?,
            glue,
        })
    }

    pub fn split<'t>(&self, text: &'t str) -> Result<Vec<Cow<'t, str>>, Error> {
        let cut = pieces(text, 0..text.len(), &self.separator, Cut::Drop)?.unwrap_or_default();
        let mut chunks = Vec::new();
        let joint = Joint::Glue {
            text: &self.glue,
            length: self.glue.chars().count(),
        };
        merge(text, &cut, &joint, &self.limits, &mut chunks);
        Ok(chunks)
    }
}

/// Cuts at the first separator that occurs, keeps it at the start of the piece that follows, merges what is shorter than
/// the size, and cuts the rest with the separators that are left.
#[derive(Debug)]
pub(super) struct Recursive {
    limits: Limits,
    separators: Vec<Separator>,
}

/// One piece being cut further.
struct Level {
    pieces: Vec<Piece>,
    /// The piece to look at next.
    next: usize,
    /// Index of the first separator that is left for its pieces.
    separators: usize,
}

impl Recursive {
    pub fn new(limits: Limits, separators: &[String], is_regex: bool) -> Result<Recursive, Error> {
        let separators = if separators.is_empty() {
            DEFAULT_SEPARATORS
                .iter()
                .map(|text| Separator::new(text, false))
                .collect::<Result<_, _>>()?
        } else {
            separators
                .iter()
                .map(|text| Separator::new(text, is_regex))
                .collect::<Result<_, _>>()?
        };
        Ok(Recursive { limits, separators })
    }

    pub fn split<'t>(&self, text: &'t str) -> Result<Vec<Cow<'t, str>>, Error> {
        let mut chunks = Vec::new();
        // A stack of our own: each separator of the list can add a level, and the list has no bound.
        let mut levels = vec![self.cut(text, 0..text.len(), 0)?];
        while let Some(level) = levels.last_mut() {
            let short = &level.pieces[level.next..];
            let short = &short[..short
                .iter()
                .position(|p| p.length >= self.limits.size)
                .unwrap_or(short.len())];
            merge(text, short, &Joint::Slice, &self.limits, &mut chunks);
            level.next += short.len();
            let Some(&long) = level.pieces.get(level.next) else {
                levels.pop();
                continue;
            };
            level.next += 1;
            if level.separators < self.separators.len() {
                let left = level.separators;
                levels.push(self.cut(text, long.start..long.end, left)?);
            } else {
                chunks.push(Cow::Borrowed(&text[long.start..long.end]));
            }
        }
        Ok(chunks)
    }

    /// Cuts a range with the first separator from index `from` on that occurs in it.
    fn cut(&self, text: &str, range: std::ops::Range<usize>, from: usize) -> Result<Level, Error> {
        for (index, separator) in self.separators.iter().enumerate().skip(from) {
            if let Some(pieces) = pieces(text, range.clone(), separator, Cut::Keep)? {
                // Nothing is left to try after single code points.
                let left = if separator.is_empty() {
                    self.separators.len()
                } else {
                    index + 1
                };
                return Ok(Level {
                    pieces,
                    next: 0,
                    separators: left,
                });
            }
        }
        let length = text[range.clone()].chars().count();
        let whole = Piece {
            start: range.start,
            end: range.end,
            length,
        };
        let pieces = if range.is_empty() { Vec::new() } else { vec![whole] };
        Ok(Level {
            pieces,
            next: 0,
            separators: self.separators.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recursive(size: i32, overlap: i32, separators: &[&str]) -> Recursive {
        let separators: Vec<String> = separators.iter().map(|s| s.to_string()).collect();
        Recursive::new(
            Limits::new(["size", "overlap"], size, overlap).unwrap(),
            &separators,
            false,
        )
        .unwrap()
    }

    fn character(size: i32, overlap: i32, separator: &str, is_regex: bool) -> Character {
        Character::new(
            Limits::new(["size", "overlap"], size, overlap).unwrap(),
            separator,
            is_regex,
        )
        .unwrap()
    }

    #[test]
    fn stripping_takes_what_python_takes() {
        assert_eq!(strip("\u{1c}\u{1f}\u{a0}\u{2003}\u{85}a b\u{3000}\n"), "a b");
        assert_eq!(strip("\u{200b}\u{feff}a\u{0}"), "\u{200b}\u{feff}a\u{0}");
    }

    #[test]
    fn lengths_are_code_points() {
        assert_eq!(recursive(4, 0, &[" ", ""]).split("ÄÖÜ €€€").unwrap(), ["ÄÖÜ", "€€€"]);
        assert_eq!(recursive(3, 0, &[""]).split("日本語文字").unwrap(), ["日本語", "文字"]);
    }

    #[test]
    fn a_piece_that_cannot_be_cut_stays_whole() {
        assert_eq!(
            recursive(5, 0, &[" "]).split("a indivisible b").unwrap(),
            ["a", " indivisible", "b"]
        );
        assert_eq!(
            character(5, 0, " ", false).split("a indivisible b").unwrap(),
            ["a", "indivisible", "b"]
        );
    }

    #[test]
    fn an_expression_is_glued_as_its_own_text_unless_it_looks_around() {
        assert_eq!(character(9, 0, r"\s+", true).split("a \t b").unwrap(), [r"a\s+b"]);
        assert_eq!(character(9, 0, r"(?<=,)\s+", true).split("a,  b").unwrap(), ["a,b"]);
    }

    #[test]
    fn overlap_repeats_whole_pieces() {
        assert_eq!(
            character(5, 3, " ", false).split("aa bb cc dd").unwrap(),
            ["aa bb", "bb cc", "cc dd"]
        );
        assert_eq!(
            character(5, 1, " ", false).split("aa bb cc dd").unwrap(),
            ["aa bb", "cc dd"]
        );
    }

    #[test]
    fn an_empty_list_of_separators_means_langchains() {
        assert_eq!(
            recursive(4, 0, &[]).split("ab cd\n\nefghij").unwrap(),
            ["ab", "cd", "efg", "hij"]
        );
    }
}
