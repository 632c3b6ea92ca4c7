use super::*;
use crate::config::{TextFormat, Unit};
use crate::error::{Class, Failure, Step};

fn character(chunk_size: i32, chunk_overlap: i32, separator: &str, is_separator_regex: bool) -> Chunking {
    let separator = separator.to_owned();
    Chunking::CharacterTextSplitter {
        chunk_size,
        chunk_overlap,
        separator,
        is_separator_regex,
    }
}

fn recursive(chunk_size: i32, chunk_overlap: i32, separators: &[&str]) -> Chunking {
    let separators = separators.iter().map(|s| s.to_string()).collect();
    Chunking::RecursiveCharacterTextSplitter {
        chunk_size,
        chunk_overlap,
        separators,
        is_separator_regex: false,
    }
}

fn semantic(capacity: i32, overlap: i32, unit: Unit, format: TextFormat) -> Chunking {
    Chunking::TextSplitter {
        capacity,
        overlap,
        unit,
        format,
    }
}

fn split(chunking: &Chunking, text: &str) -> Vec<String> {
    let chunks = Splitter::new(chunking).unwrap().split(text).unwrap();
    chunks.into_iter().map(Cow::into_owned).collect()
}

#[test]
fn a_splitter_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Splitter>();
}

#[test]
fn sizes_that_cannot_work_are_refused() {
    let reason = |chunking: &Chunking| Splitter::new(chunking).unwrap_err().to_string();
    assert_eq!(
        reason(&character(0, 0, " ", false)),
        "chunk_size must be greater than 0, got 0"
    );
    assert_eq!(
        reason(&recursive(-5, 900, &[" "])),
        "chunk_size must be greater than 0, got -5"
    );
    assert_eq!(
        reason(&character(5, -1, " ", false)),
        "chunk_overlap must not be negative, got -1"
    );
    assert_eq!(
        reason(&recursive(5, 6, &[" "])),
        "Got a larger chunk overlap (6) than chunk size (5), should be smaller."
    );
    let tokens = semantic(0, 0, Unit::Tokens, TextFormat::Text);
    assert_eq!(reason(&tokens), "capacity must be greater than 0, got 0");
}

#[test]
fn an_overlap_of_the_whole_size_is_langchains_but_not_ours() {
    let equal = recursive(10, 10, &[" ", ""]);
    assert!(Splitter::new(&equal).is_ok());
    assert_eq!(check(&equal), Err(Error::OverlapEqualsSize { size: 10, overlap: 10 }));
    assert_eq!(check(&recursive(10, 9, &[" ", ""])), Ok(()));
    assert_eq!(check(&Chunking::None), Ok(()));
    let equal = semantic(10, 10, Unit::Chars, TextFormat::Text);
    assert_eq!(
        Splitter::new(&equal).unwrap_err(),
        Error::OverlapEqualsSize { size: 10, overlap: 10 }
    );
}

#[test]
fn regular_expressions_that_capture_or_match_nothing_are_refused() {
    for (separator, reason) in [
        ("(a)b", "capture groups are not supported"),
        ("(?P<name>a)", "capture groups are not supported"),
        (r"a\1", "capture groups are not supported"),
        ("x*", "it matches the empty text"),
        ("a|", "it matches the empty text"),
        ("[a", "unterminated character set"),
        ("a)", "unbalanced parenthesis"),
        ("(?:a", "missing )"),
        (r"\p{L}", r"bad escape \p"),
        ("*a", ""),
    ] {
        let error = check(&character(10, 0, separator, true)).unwrap_err();
        assert!(matches!(&error, Error::Separator { .. }), "{separator}: {error}");
        assert!(error.to_string().contains(reason), "{separator}: {error}");
        assert_eq!(error.class(), Class::Configuration);
        assert_eq!(
            check(&character(10, 0, separator, false)),
            Ok(()),
            "as plain text it is fine"
        );
    }
}

#[test]
fn an_exploding_expression_fails_the_item_for_good() {
    let splitter = Splitter::new(&character(10, 0, r"(?:(?:a|aa)+)+(?<!a)", true)).unwrap();
    let error = splitter.split(&"a".repeat(60)).unwrap_err();
    assert!(matches!(error, Error::Backtracking { .. }));
    let failure = Failure::from(error);
    assert_eq!((failure.step, failure.class), (Step::Chunking, Class::Permanent));
    assert!(failure.hint.is_some());
}

#[test]
fn blank_texts_give_no_chunk() {
    for chunking in [
        character(10, 0, "\n\n", false),
        recursive(10, 5, &["\n\n", ""]),
        semantic(10, 0, Unit::Chars, TextFormat::Text),
        semantic(10, 0, Unit::Tokens, TextFormat::Markdown),
        Chunking::None,
    ] {
        for text in ["", " ", "\n\n \t\n", "\u{a0}\u{3000}"] {
            assert_eq!(split(&chunking, text), [""; 0], "{chunking:?} on {text:?}");
        }
    }
    assert_eq!(split(&Chunking::None, "\u{1c}\u{1f}"), [""; 0]);
}

/// Also of chunks that the text does not hold.
#[test]
fn chunks_know_what_they_are_made_of() {
    let text = " Ä \t heron1waits22 it  does3\n\nnot move \n\n4the\n\nend ";
    for chunking in [
        character(12, 6, " ", false),
        character(12, 6, "\n\n", false),
        character(9, 4, r"\d", true),
        character(9, 4, r"\s+", true),
        recursive(9, 4, &["\n\n", " ", ""]),
        semantic(9, 4, Unit::Chars, TextFormat::Markdown),
        Chunking::None,
    ] {
        let chunks = Splitter::new(&chunking).unwrap();
        let chunks = chunks.cut(text, &CutWork::new(Bounds::NONE, &never)).unwrap();
        assert!(!chunks.is_empty());
        let mut last = 0..0;
        for chunk in chunks {
            let place = &text[chunk.place.clone()];
            assert!(
                last.start <= chunk.place.start && last.end <= chunk.place.end,
                "{chunking:?}"
            );
            // Words are where the place says; between them may be anything.
            let words = |text: &str| {
                text.split(|c: char| !c.is_alphabetic())
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            let (first, last_word) = (words(place)[0].clone(), words(place).pop().unwrap());
            let said = chunk.text(text);
            assert!(
                said.starts_with(&first) && said.ends_with(&last_word),
                "{chunking:?}: {place:?}, {said:?}"
            );
            last = chunk.place;
        }
    }
    let glued = Splitter::new(&character(9, 0, r"\d", true)).unwrap();
    let cut = glued.cut("a1b 2 c", &CutWork::new(Bounds::NONE, &never)).unwrap();
    let own = Some(r"a\db \d c".into());
    assert_eq!(cut, [Chunk { place: 0..7, own }]);
}

#[test]
fn no_chunking_leaves_the_text_alone() {
    assert_eq!(split(&Chunking::None, "  a\n\nb "), ["  a\n\nb "]);
}

#[test]
fn thousands_of_separators_need_no_stack() {
    let separators = vec!["a"; GREATEST_SEPARATORS];
    assert_eq!(split(&recursive(1, 0, &separators), "aa"), ["a", "a"]);
    let separators = vec!["a"; GREATEST_SEPARATORS + 1];
    let error = check(&recursive(1, 0, &separators)).unwrap_err();
    assert_eq!(error.class(), Class::Configuration);
}

#[test]
fn the_semantic_splitter_keeps_its_capacity_in_characters_and_in_tokens() {
    let text = "Ünder the bridge, a heron waits. It does not move. ".repeat(20);
    let chunks = split(&semantic(60, 20, Unit::Chars, TextFormat::Text), &text);
    assert!(chunks.len() > 10);
    assert!(chunks.iter().all(|chunk| chunk.chars().count() <= 60));
    let chunks = split(&semantic(16, 0, Unit::Tokens, TextFormat::Text), &text);
    let tokens = |chunk: &String| bpe_openai::cl100k_base().count(chunk.as_str());
    assert!(chunks.len() > 10);
    assert!(chunks.iter().all(|chunk| (1..=16).contains(&tokens(chunk))));
}

#[test]
fn markdown_is_cut_at_its_headings() {
    let text = "# One\n\nfirst text\n\n# Two\n\nsecond text\n";
    let chunks = split(&semantic(20, 0, Unit::Chars, TextFormat::Markdown), text);
    assert_eq!(chunks, ["# One\n\nfirst text", "# Two\n\nsecond text"]);
}
