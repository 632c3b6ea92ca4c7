//! The behaviour of Python's langchain-text-splitters 1.1: `CharacterTextSplitter` and
//! `RecursiveCharacterTextSplitter`.
//!
//! Pieces are byte ranges of the text with their length in code points, counted once. `tests/chunk.rs` holds the
//! comparison with the original.

use std::collections::VecDeque;
use std::ops::Range;

use super::separator::{Piece, Pieces, Separator};
use super::{Chunk, CutWork, Error};

/// LangChain's separators where the list is empty.
const DEFAULT_SEPARATORS: [&str; 4] = ["\n\n", "\n", " ", ""];

/// Size and overlap of chunks, checked as LangChain checks them.
#[derive(Debug)]
pub(super) struct ChunkSize {
    pub size: usize,
    pub overlap: usize,
}

impl ChunkSize {
    /// `names` are the parameters' names, for messages.
    pub fn new(names: [&'static str; 2], size: i32, overlap: i32) -> Result<ChunkSize, Error> {
        match (usize::try_from(size), usize::try_from(overlap)) {
            (Err(_) | Ok(0), _) => Err(Error::Size { name: names[0], size }),
            (_, Err(_)) => Err(Error::NegativeOverlap {
                name: names[1],
                overlap,
            }),
            (Ok(chars), Ok(shared)) if shared > chars => Err(Error::OverlapAboveSize { size, overlap }),
            (Ok(size), Ok(overlap)) => Ok(ChunkSize { size, overlap }),
        }
    }
}

/// Python's `str.strip()`: Unicode white space and the four separators U+001C to U+001F.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}

/// What is left of a stretch of a text without the white space at its ends.
fn strip_range(text: &str, range: Range<usize>) -> Range<usize> {
    let held = &text[range.clone()];
    let kept = strip(held);
    // A part of a text begins behind its beginning.
    let start = range.start + (kept.as_ptr().addr() - held.as_ptr().addr());
    start..start + kept.len()
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
}

/// Chunks of a text as they are found.
pub(super) struct Chunks<'t, 'w> {
    pub text: &'t str,
    pub list: Vec<Chunk>,
    pub work: &'w CutWork<'w>,
}

impl Chunks<'_, '_> {
    /// Appends a part of the text.
    pub fn push(&mut self, part: Range<usize>) -> Result<(), Error> {
        self.work.keep(part.len(), 0)?;
        self.list.push(Chunk::part(part));
        Ok(())
    }

    /// Appends the pieces as one trimmed chunk, or nothing if that is blank.
    fn join(&mut self, pieces: &VecDeque<Piece>, joint: &Joint) -> Result<(), Error> {
        let (Some(first), Some(last)) = (pieces.front(), pieces.back()) else {
            return Ok(());
        };
        let place = first.start..last.end;
        let held = &self.text[place.clone()];
        let part = strip_range(self.text, place.clone());
        match joint {
            Joint::Slice => (),
            Joint::Glue { text: glue, .. } => {
                let own = pieces.iter().map(|piece| piece.end - piece.start).sum::<usize>();
                let length = own.saturating_add(glue.len().saturating_mul(pieces.len() - 1));
                // There are two of it at times: while it is trimmed, and while a process hands it over.
                self.work.afford(length.saturating_mul(2))?;
                self.work.spend(length)?;
                let mut joined = String::with_capacity(length);
                for (index, piece) in pieces.iter().enumerate() {
                    if index > 0 {
                        joined.push_str(glue);
                    }
                    joined.push_str(&self.text[piece.start..piece.end]);
                }
                // What was dropped between them is mostly what is put there.
                if joined != held {
                    let chunk = strip(&joined);
                    if !chunk.is_empty() {
                        self.work.keep(chunk.len(), chunk.len() * 2)?;
                        // What is put between blank pieces is of the whole stretch.
                        let place = if part.is_empty() { place } else { part };
                        let own = Some(chunk.into());
                        self.list.push(Chunk { place, own });
                    }
                    return Ok(());
                }
            }
        }
        // What is trimmed was looked at, whether there is anything else or not.
        self.work.spend(held.len() - part.len())?;
        if part.is_empty() { Ok(()) } else { self.push(part) }
    }
}

/// Collects pieces into chunks up to the size; each chunk after the first begins with the last pieces of the
/// one before, as many as the overlap holds and the next piece leaves room for.
///
/// Of the pieces it keeps those of the present chunk only, so the time is linear in the pieces and in what is
/// written, and the memory in the size.
struct Merge<'m> {
    joint: Joint<'m>,
    limits: &'m ChunkSize,
    window: VecDeque<Piece>,
    total: usize,
}

impl<'m> Merge<'m> {
    fn new(joint: Joint<'m>, limits: &'m ChunkSize) -> Merge<'m> {
        Merge {
            joint,
            limits,
            window: VecDeque::new(),
            total: 0,
        }
    }

    /// What is put before the next piece.
    fn glue(&self) -> usize {
        if self.window.is_empty() { 0 } else { self.joint.length() }
    }

    fn exceeds(&self, piece: &Piece) -> bool {
        self.total + piece.length + self.glue() > self.limits.size
    }

    fn push(&mut self, piece: Piece, chunks: &mut Chunks) -> Result<(), Error> {
        if !self.window.is_empty() && self.exceeds(&piece) {
            chunks.join(&self.window, &self.joint)?;
            while self.total > self.limits.overlap || (self.total > 0 && self.exceeds(&piece)) {
                let Some(first) = self.window.pop_front() else { break };
                self.total -= first.length + self.glue();
            }
        }
        self.total += piece.length + self.glue();
        chunks.work.afford((self.window.len() + 1) * size_of::<Piece>())?;
        self.window.push_back(piece);
        Ok(())
    }

    /// What is left is a chunk; the next piece begins anew.
    fn finish(&mut self, chunks: &mut Chunks) -> Result<(), Error> {
        chunks.join(&self.window, &self.joint)?;
        self.window.clear();
        self.total = 0;
        Ok(())
    }
}

/// Cuts at one separator, drops it, and merges with it in between. A piece longer than the size stays whole.
#[derive(Debug)]
pub(super) struct Character {
    limits: ChunkSize,
    separator: Separator,
    /// Put between merged pieces. For a regular expression this is LangChain's too: the *text of the
    /// expression*, unless that begins with a look-around.
    glue: String,
}

impl Character {
    pub fn new(limits: ChunkSize, separator: &str, is_regex: bool) -> Result<Character, Error> {
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

    pub fn split(&self, chunks: &mut Chunks) -> Result<(), Error> {
        let text = chunks.text;
        let joint = Joint::Glue {
            text: &self.glue,
            length: self.glue.chars().count(),
        };
        let mut merge = Merge::new(joint, &self.limits);
        for piece in Pieces::dropping(text, &self.separator, chunks.work)? {
            merge.push(piece?, chunks)?;
        }
        merge.finish(chunks)
    }
}

/// Cuts at the first separator that occurs, keeps it at the start of the piece that follows, merges what is
/// shorter than the size, and cuts the rest with the separators that are left.
#[derive(Debug)]
pub(super) struct Recursive {
    limits: ChunkSize,
    separators: Vec<Separator>,
}

/// One piece being cut further.
struct CutLevel<'t, 's> {
    pieces: Pieces<'t, 's>,
    /// Index of the first separator that is left for its pieces.
    separators: usize,
}

impl Recursive {
    pub fn new(limits: ChunkSize, separators: &[String], is_regex: bool) -> Result<Recursive, Error> {
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

    pub fn split(&self, chunks: &mut Chunks) -> Result<(), Error> {
        let (text, work) = (chunks.text, chunks.work);
        let mut merge = Merge::new(Joint::Slice, &self.limits);
        // A stack of our own: each separator of the list can add a level, and the list has no bound.
        let mut levels = vec![self.cut(text, 0..text.len(), 0, work)?];
        while let Some(level) = levels.last_mut() {
            let Some(piece) = level.pieces.next() else {
                merge.finish(chunks)?;
                levels.pop();
                continue;
            };
            let piece = piece?;
            if piece.length < self.limits.size {
                merge.push(piece, chunks)?;
                continue;
            }
            merge.finish(chunks)?;
            let left = level.separators;
            if left < self.separators.len() {
                levels.push(self.cut(text, piece.start..piece.end, left, work)?);
            } else {
                chunks.push(piece.start..piece.end)?;
            }
        }
        Ok(())
    }

    /// Cuts a range with the first separator from index `from` on that occurs in it.
    fn cut<'t, 's>(
        &'s self,
        text: &'t str,
        range: Range<usize>,
        from: usize,
        work: &'s CutWork<'s>,
    ) -> Result<CutLevel<'t, 's>, Error> {
        for (index, separator) in self.separators.iter().enumerate().skip(from) {
            if let Some(pieces) = Pieces::keeping(text, range.clone(), separator, work)? {
                // Nothing is left to try after single code points.
                let separators = if separator.is_empty() {
                    self.separators.len()
                } else {
                    index + 1
                };
                return Ok(CutLevel { pieces, separators });
            }
        }
        Ok(CutLevel {
            pieces: Pieces::whole(text, range, work)?,
            separators: self.separators.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::work::{Bounds, never};

    fn recursive(size: i32, overlap: i32, separators: &[&str]) -> Recursive {
        let separators: Vec<String> = separators.iter().map(|s| s.to_string()).collect();
        Recursive::new(
            ChunkSize::new(["size", "overlap"], size, overlap).unwrap(),
            &separators,
            false,
        )
        .unwrap()
    }

    fn character(size: i32, overlap: i32, separator: &str, is_regex: bool) -> Character {
        Character::new(
            ChunkSize::new(["size", "overlap"], size, overlap).unwrap(),
            separator,
            is_regex,
        )
        .unwrap()
    }

    fn split<'t>(how: impl Fn(&mut Chunks<'t, '_>) -> Result<(), Error>, text: &'t str) -> Vec<String> {
        let work = CutWork::new(Bounds::NONE, &never);
        let list = Vec::new();
        let mut chunks = Chunks {
            text,
            list,
            work: &work,
        };
        how(&mut chunks).unwrap();
        let texts = chunks.list.iter().map(|chunk| chunk.text(text).to_owned());
        texts.collect()
    }

    #[test]
    fn stripping_takes_what_python_takes() {
        assert_eq!(strip("\u{1c}\u{1f}\u{a0}\u{2003}\u{85}a b\u{3000}\n"), "a b");
        assert_eq!(strip("\u{200b}\u{feff}a\u{0}"), "\u{200b}\u{feff}a\u{0}");
    }

    #[test]
    fn lengths_are_code_points() {
        assert_eq!(
            split(|chunks| recursive(4, 0, &[" ", ""]).split(chunks), "ÄÖÜ €€€"),
            ["ÄÖÜ", "€€€"]
        );
        assert_eq!(
            split(|chunks| recursive(3, 0, &[""]).split(chunks), "日本語文字"),
            ["日本語", "文字"]
        );
    }

    #[test]
    fn a_piece_that_cannot_be_cut_stays_whole() {
        assert_eq!(
            split(|chunks| recursive(5, 0, &[" "]).split(chunks), "a indivisible b"),
            ["a", " indivisible", "b"]
        );
        assert_eq!(
            split(|chunks| character(5, 0, " ", false).split(chunks), "a indivisible b"),
            ["a", "indivisible", "b"]
        );
    }

    #[test]
    fn an_expression_is_glued_as_its_own_text_unless_it_looks_around() {
        assert_eq!(
            split(|chunks| character(9, 0, r"\s+", true).split(chunks), "a \t b"),
            [r"a\s+b"]
        );
        assert_eq!(
            split(|chunks| character(9, 0, r"(?<=,)\s+", true).split(chunks), "a,  b"),
            ["a,b"]
        );
    }

    #[test]
    fn overlap_repeats_whole_pieces() {
        assert_eq!(
            split(|chunks| character(5, 3, " ", false).split(chunks), "aa bb cc dd"),
            ["aa bb", "bb cc", "cc dd"]
        );
        assert_eq!(
            split(|chunks| character(5, 1, " ", false).split(chunks), "aa bb cc dd"),
            ["aa bb", "cc dd"]
        );
    }

    #[test]
    fn an_empty_list_of_separators_means_langchains() {
        assert_eq!(
            split(|chunks| recursive(4, 0, &[]).split(chunks), "ab cd\n\nefghij"),
            ["ab", "cd", "efg", "hij"]
        );
    }
}
