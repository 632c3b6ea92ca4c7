//! A separator, and the pieces that it cuts a text into.

use std::ops::Range;
use std::str::{CharIndices, MatchIndices};

use fancy_regex::{Regex, RegexBuilder};

use super::{CutWork, Error, pattern};

/// Steps that a regular expression may go back in one search; fancy-regex's own default, a fraction of a second.
pub(super) const BACKTRACK_LIMIT: usize = 1_000_000;

/// Bytes of a compiled regular expression; the crate regex's own default.
const COMPILED_LIMIT: usize = 10 << 20;

/// Where to cut.
#[derive(Debug)]
pub(super) enum Separator {
    /// Between any two code points.
    Anywhere,
    /// At one character. Searched for much faster than a text of several.
    Char(char),
    /// At a text.
    Text(String),
    /// At a Python regular expression.
    Pattern(Box<Pattern>),
}

/// What happens to the separator itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SeparatorSide {
    /// It goes.
    Drop,
    /// It begins the piece that follows.
    Keep,
}

impl Separator {
    /// The empty separator means every code point.
    pub fn new(text: &str, is_regex: bool) -> Result<Separator, Error> {
        let mut chars = text.chars();
        Ok(match (chars.next(), chars.next()) {
            (None, _) => Separator::Anywhere,
            _ if is_regex => Separator::Pattern(Box::new(Pattern::new(text)?)),
            (Some(only), None) => Separator::Char(only),
            _ => Separator::Text(text.to_owned()),
        })
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Separator::Anywhere)
    }
}

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

/// The pieces of a range of a text, empty ones left out, as they are found.
///
/// A regular expression sees the range alone, nothing before or after it.
pub(super) struct Pieces<'t, 's> {
    text: &'t str,
    range: Range<usize>,
    cut: SeparatorSide,
    finder: Finder<'t, 's>,
    /// A separator that was found and not cut at yet.
    ahead: Option<Range<usize>>,
    /// Where the piece under way begins.
    from: usize,
    work: &'s CutWork<'s>,
}

enum Finder<'t, 's> {
    Anywhere(CharIndices<'t>),
    Char(MatchIndices<'t, char>),
    Text(MatchIndices<'t, &'s str>),
    Pattern(Matches<'t, 's>),
    /// Nothing is left to be found.
    Nothing,
}

impl<'t, 's> Pieces<'t, 's> {
    fn new(
        text: &'t str,
        range: Range<usize>,
        separator: &'s Separator,
        cut: SeparatorSide,
        work: &'s CutWork<'s>,
    ) -> Result<Pieces<'t, 's>, Error> {
        let part = &text[range.clone()];
        // All of it is looked at in the end; what does not occur is looked for at once.
        work.spend(part.len())?;
        let finder = match separator {
            Separator::Anywhere => Finder::Anywhere(part.char_indices()),
            Separator::Char(separator) => Finder::Char(part.match_indices(*separator)),
            Separator::Text(separator) => Finder::Text(part.match_indices(separator.as_str())),
            Separator::Pattern(pattern) => Finder::Pattern(Matches {
                pattern,
                text: part,
                from: 0,
                after_empty: false,
                work,
            }),
        };
        Ok(Pieces {
            text,
            from: range.start,
            range,
            cut,
            finder,
            ahead: None,
            work,
        })
    }

    /// Cut at a separator, which goes.
    pub fn dropping(text: &'t str, separator: &'s Separator, work: &'s CutWork<'s>) -> Result<Pieces<'t, 's>, Error> {
        Pieces::new(text, 0..text.len(), separator, SeparatorSide::Drop, work)
    }

    /// Cut at a separator, which begins the piece that follows; `None` if it does not occur.
    pub fn keeping(
        text: &'t str,
        range: Range<usize>,
        separator: &'s Separator,
        work: &'s CutWork<'s>,
    ) -> Result<Option<Pieces<'t, 's>>, Error> {
        let mut pieces = Pieces::new(text, range, separator, SeparatorSide::Keep, work)?;
        if !separator.is_empty() {
            pieces.ahead = pieces.find()?;
            if pieces.ahead.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(pieces))
    }

    /// Not cut at all.
    pub fn whole(text: &'t str, range: Range<usize>, work: &'s CutWork<'s>) -> Result<Pieces<'t, 's>, Error> {
        work.spend(range.len())?;
        Ok(Pieces {
            text,
            from: range.start,
            range,
            cut: SeparatorSide::Keep,
            finder: Finder::Nothing,
            ahead: None,
            work,
        })
    }

    /// Where the next separator is.
    fn find(&mut self) -> Result<Option<Range<usize>>, Error> {
        self.work.spend(1)?;
        let of_text = |(start, matched): (usize, &str)| start..start + matched.len();
        let found = match &mut self.finder {
            Finder::Anywhere(_) | Finder::Nothing => None,
            Finder::Char(matches) => matches.next().map(of_text),
            Finder::Text(matches) => matches.next().map(of_text),
            Finder::Pattern(matches) => matches.next()?,
        };
        let start = self.range.start;
        Ok(found.map(|found| start + found.start..start + found.end))
    }

    /// What lies between the last cut and `end`.
    fn piece(&self, end: usize) -> Option<Piece> {
        (self.from < end).then(|| Piece {
            start: self.from,
            end,
            length: self.text[self.from..end].chars().count(),
        })
    }

    fn advance(&mut self) -> Result<Option<Piece>, Error> {
        if let Finder::Anywhere(characters) = &mut self.finder {
            self.work.spend(1)?;
            let start = self.range.start;
            return Ok(characters.next().map(|(at, character)| Piece {
                start: start + at,
                end: start + at + character.len_utf8(),
                length: 1,
            }));
        }
        loop {
            let found = match self.ahead.take() {
                Some(found) => found,
                None => match self.find()? {
                    Some(found) => found,
                    None => {
                        self.finder = Finder::Nothing;
                        let rest = self.piece(self.range.end);
                        self.from = self.range.end;
                        return Ok(rest);
                    }
                },
            };
            let piece = self.piece(found.start);
            self.from = match self.cut {
                SeparatorSide::Drop => found.end,
                SeparatorSide::Keep => found.start,
            };
            if piece.is_some() {
                return Ok(piece);
            }
        }
    }
}

impl Iterator for Pieces<'_, '_> {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Result<Piece, Error>> {
        self.advance().transpose()
    }
}

/// The matches that Python's `re.split` cuts at: an empty match may follow a match at once, but not another
/// empty one at the same place.
struct Matches<'t, 's> {
    pattern: &'s Pattern,
    text: &'t str,
    from: usize,
    after_empty: bool,
    work: &'s CutWork<'s>,
}

impl Matches<'_, '_> {
    fn next(&mut self) -> Result<Option<Range<usize>>, Error> {
        // A search may take long, however near the match is.
        self.work.ask()?;
        let regex = if self.after_empty {
            &self.pattern.after_empty
        } else {
            &self.pattern.first
        };
        let matched = regex
            .find_from_pos(self.text, self.from)
            .map_err(|_| Error::Backtracking {
                separator: self.pattern.source.clone(),
            })?;
        let Some(matched) = matched else { return Ok(None) };
        self.after_empty = matched.start() == matched.end();
        self.from = matched.end();
        Ok(Some(matched.range()))
    }
}

/// A Python regular expression that does not match the empty text.
#[derive(Debug)]
pub(super) struct Pattern {
    /// As configured, for messages.
    source: String,
    first: Regex,
    /// The same, but an empty match where the search begins does not count: Python's rule after an empty match.
    after_empty: Regex,
}

impl Pattern {
    fn new(source: &str) -> Result<Pattern, Error> {
        let refuse = |reason: String| Error::Separator {
            separator: source.to_owned(),
            reason,
        };
        let compile = |pattern: &str| {
            RegexBuilder::new(pattern)
                .backtrack_limit(BACKTRACK_LIMIT)
                .delegate_size_limit(COMPILED_LIMIT)
                .build()
                .map_err(|error| refuse(error.to_string()))
        };
        let translated = pattern::translate(source).map_err(refuse)?;
        let first = compile(&translated)?;
        let after_empty = compile(&format!(r"(?:{translated})(?!\G)"))?;
        if first.is_match("").unwrap_or(true) {
            return Err(refuse("it matches the empty text".to_owned()));
        }
        Ok(Pattern {
            source: source.to_owned(),
            first,
            after_empty,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::work::{Bounds, never};

    fn cut<'t>(text: &'t str, separator: &str, is_regex: bool, cut: SeparatorSide) -> Vec<&'t str> {
        let separator = Separator::new(separator, is_regex).unwrap();
        let work = CutWork::new(Bounds::NONE, &never);
        let pieces = Pieces::new(text, 0..text.len(), &separator, cut, &work).unwrap();
        pieces
            .map(|piece| piece.unwrap())
            .map(|piece| &text[piece.start..piece.end])
            .collect()
    }

    #[test]
    fn a_separator_is_dropped_or_begins_the_next_piece() {
        assert_eq!(cut("a, b,, c", ",", false, SeparatorSide::Drop), ["a", " b", " c"]);
        assert_eq!(
            cut("a, b,, c", ",", false, SeparatorSide::Keep),
            ["a", ", b", ",", ", c"]
        );
        assert_eq!(cut("a--b---c", "--", false, SeparatorSide::Keep), ["a", "--b", "---c"]);
        assert_eq!(cut("äö", "", false, SeparatorSide::Keep), ["ä", "ö"]);
    }

    #[test]
    fn empty_matches_are_found_where_python_finds_them() {
        // re.split(r"x*(?=b)", "axbb") is ['a', '', 'b', 'b'], with the empty match after the one of x.
        assert_eq!(cut("axbb", "x*(?=b)", true, SeparatorSide::Drop), ["a", "b", "b"]);
        assert_eq!(
            cut("one. two.three", r"(?<=\.)", true, SeparatorSide::Keep),
            ["one.", " two.", "three"]
        );
        assert_eq!(cut("ab cd", r"\b", true, SeparatorSide::Drop), ["ab", " ", "cd"]);
        // After the empty match before b, a longer one at the same place is found.
        assert_eq!(cut("abbc", "(?=b)|bb", true, SeparatorSide::Drop), ["a", "c"]);
    }

    #[test]
    fn a_separator_that_does_not_occur_keeps_the_piece_for_the_next_one() {
        let separator = Separator::new("x", false).unwrap();
        let work = CutWork::new(Bounds::NONE, &never);
        assert!(Pieces::keeping("abc", 0..3, &separator, &work).unwrap().is_none());
        assert!(Pieces::keeping("axc", 2..3, &separator, &work).unwrap().is_none());
    }
}
