//! A separator, and the pieces that it cuts a text into.

use std::ops::Range;

use fancy_regex::{Regex, RegexBuilder};

use super::langchain::Piece;
use super::{Error, pattern};

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
pub(super) enum Cut {
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

/// The pieces of a range of `text`, empty ones left out; `None` if the separator does not occur in it.
///
/// A regular expression sees the range alone, nothing before or after it.
pub(super) fn pieces(
    text: &str,
    range: Range<usize>,
    separator: &Separator,
    cut: Cut,
) -> Result<Option<Vec<Piece>>, Error> {
    let mut cutter = Cutter {
        text,
        pieces: Vec::new(),
        from: range.start,
        cut,
    };
    let part = &text[range.clone()];
    let at = |start: usize, end: usize| range.start + start..range.start + end;
    let mut found = false;
    match separator {
        Separator::Anywhere => return Ok(Some(characters(part, range.start))),
        Separator::Char(separator) => {
            for (start, matched) in part.match_indices(*separator) {
                found = true;
                cutter.separator(at(start, start + matched.len()));
            }
        }
        Separator::Text(separator) => {
            for (start, matched) in part.match_indices(separator.as_str()) {
                found = true;
                cutter.separator(at(start, start + matched.len()));
            }
        }
        Separator::Pattern(pattern) => {
            pattern.each_match(part, |matched| {
                found = true;
                cutter.separator(at(matched.start, matched.end));
            })?;
        }
    }
    if !found && cut == Cut::Keep {
        return Ok(None);
    }
    cutter.piece(range.end);
    Ok(Some(cutter.pieces))
}

fn characters(part: &str, offset: usize) -> Vec<Piece> {
    part.char_indices()
        .map(|(at, c)| Piece {
            start: offset + at,
            end: offset + at + c.len_utf8(),
            length: 1,
        })
        .collect()
}

struct Cutter<'t> {
    text: &'t str,
    pieces: Vec<Piece>,
    /// Where the piece under way begins.
    from: usize,
    cut: Cut,
}

impl Cutter<'_> {
    fn piece(&mut self, end: usize) {
        if self.from < end {
            let length = self.text[self.from..end].chars().count();
            self.pieces.push(Piece {
                start: self.from,
                end,
                length,
            });
        }
    }

    fn separator(&mut self, found: Range<usize>) {
        self.piece(found.start);
        self.from = match self.cut {
            Cut::Drop => found.end,
            Cut::Keep => found.start,
        };
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

    /// The matches that Python's `re.split` cuts at: an empty match may follow a match at once, but not another empty
    /// one at the same place.
    fn each_match(&self, text: &str, mut found: impl FnMut(Range<usize>)) -> Result<(), Error> {
        let mut from = 0;
        let mut regex = &self.first;
        loop {
            let matched = regex.find_from_pos(text, from).map_err(|_| Error::Backtracking {
                separator: self.source.clone(),
            })?;
            let Some(matched) = matched else { return Ok(()) };
            regex = if matched.start() == matched.end() {
                &self.after_empty
            } else {
                &self.first
            };
            from = matched.end();
            found(matched.range());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut<'t>(text: &'t str, separator: &str, is_regex: bool, cut: Cut) -> Vec<&'t str> {
        let separator = Separator::new(separator, is_regex).unwrap();
        let pieces = pieces(text, 0..text.len(), &separator, cut).unwrap().unwrap();
        pieces.iter().map(|piece| &text[piece.start..piece.end]).collect()
    }

    #[test]
    fn a_separator_is_dropped_or_begins_the_next_piece() {
        assert_eq!(cut("a, b,, c", ",", false, Cut::Drop), ["a", " b", " c"]);
        assert_eq!(cut("a, b,, c", ",", false, Cut::Keep), ["a", ", b", ",", ", c"]);
        assert_eq!(cut("a--b---c", "--", false, Cut::Keep), ["a", "--b", "---c"]);
        assert_eq!(cut("äö", "", false, Cut::Keep), ["ä", "ö"]);
    }

    #[test]
    fn empty_matches_are_found_where_python_finds_them() {
        // re.split(r"x*(?=b)", "axbb") is ['a', '', 'b', 'b'], with the empty match after the one of x.
        assert_eq!(cut("axbb", "x*(?=b)", true, Cut::Drop), ["a", "b", "b"]);
        assert_eq!(
            cut("one. two.three", r"(?<=\.)", true, Cut::Keep),
            ["one.", " two.", "three"]
        );
        assert_eq!(cut("ab cd", r"\b", true, Cut::Drop), ["ab", " ", "cd"]);
        // After the empty match before b, a longer one at the same place is found.
        assert_eq!(cut("abbc", "(?=b)|bb", true, Cut::Drop), ["a", "c"]);
    }

    #[test]
    fn a_separator_that_does_not_occur_keeps_the_piece_for_the_next_one() {
        let separator = Separator::new("x", false).unwrap();
        assert!(pieces("abc", 0..3, &separator, Cut::Keep).unwrap().is_none());
        assert!(pieces("axc", 2..3, &separator, Cut::Keep).unwrap().is_none());
    }
}
