//! Regular expressions of users: any is refused or can be cut at, and the chunks are where they
//! say.

use super::{Dice, hold};
use crate::chunk::{Bounds, CutWork, Error, Splitter, never};
use crate::config::Chunking;

const PARTS: [&str; 44] = [
    "a",
    "b",
    " ",
    r"\s",
    r"\S",
    r"\d",
    r"\w",
    r"\W",
    r"\b",
    r"\B",
    r"\n",
    r"\x41",
    r"\u00e9",
    r"\N{DASH}",
    r"\Z",
    r"\A",
    ".",
    "^",
    "$",
    "|",
    "*",
    "+",
    "?",
    "*?",
    "{2}",
    "{,3}",
    "{1,",
    "{",
    "}",
    "(?:",
    "(?=",
    "(?!",
    "(?<=",
    "(?<!",
    "(?i)",
    "(?x: ",
    "(",
    ")",
    "[",
    "[^",
    "]",
    "-",
    "é",
    "[[:alpha:]]",
];
const TEXT: [&str; 12] = ["a", "b", "aa", " ", "\n", "é", "1", "A", "\u{1c}", "-", "ab", "\t\n"];

fn chunking(dice: &mut Dice) -> Chunking {
    let pattern = dice.text(6, &PARTS);
    let size = 1 + dice.below(8) as i32;
    let overlap = dice.below(size as usize) as i32;
    if dice.once_in(2) {
        Chunking::CharacterTextSplitter {
            chunk_size: size,
            chunk_overlap: overlap,
            separator: pattern,
            is_separator_regex: !dice.once_in(4),
        }
    } else {
        Chunking::RecursiveCharacterTextSplitter {
            chunk_size: size,
            chunk_overlap: overlap,
            separators: vec![pattern, dice.text(2, &PARTS), String::new()],
            is_separator_regex: !dice.once_in(4),
        }
    }
}

#[test]
fn chunks_are_where_they_say() {
    hold(|dice| {
        let (chunking, text) = (chunking(dice), dice.text(40, &TEXT));
        let splitter = match Splitter::new(&chunking) {
            Ok(splitter) => splitter,
            Err(error) => return assert!(matches!(error, Error::Separator { .. }), "{chunking:?}: {error}"),
        };
        let chunks = match splitter.cut(&text, &CutWork::new(Bounds::NONE, &never)) {
            Ok(chunks) => chunks,
            Err(error) => return assert!(matches!(error, Error::Backtracking { .. }), "{chunking:?}: {error}"),
        };
        let mut last = 0..0;
        for chunk in &chunks {
            let place = chunk.place.clone();
            assert!(text.get(place.clone()).is_some(), "{chunking:?} on {text:?}: {chunk:?}");
            assert!(
                last.start <= place.start && last.end <= place.end,
                "{chunking:?} on {text:?}: {chunks:?}"
            );
            let said = chunk.text(&text);
            // What cannot be cut any further is left as it is, also where it is blank: LangChain
            // does so.
            let is_blank = matches!(chunking, Chunking::CharacterTextSplitter { .. }) && said.trim().is_empty();
            assert!(!said.is_empty() && !is_blank, "{chunking:?} on {text:?}: {said:?}");
            last = place;
        }
        let said: Vec<&str> = chunks.iter().map(|chunk| chunk.text(&text)).collect();
        assert_eq!(splitter.split(&text).unwrap(), said, "{chunking:?}");
    });
}
