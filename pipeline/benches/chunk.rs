//! Cutting a megabyte of prose, by each chunker.

mod measure;
mod prose;

use ai_pipeline::chunk::{Bounds, CutWork, Splitter, never};
use ai_pipeline::config::{Chunking, TextFormat, Unit};
use measure::measure;
use prose::prose;

fn main() {
    let text = prose(1 << 20);
    let strings = |separators: &[&str]| separators.iter().map(|separator| (*separator).to_owned()).collect();
    let character = |separator: &str, is_separator_regex| Chunking::CharacterTextSplitter {
        chunk_size: 800,
        chunk_overlap: 400,
        separator: separator.to_owned(),
        is_separator_regex,
    };
    let semantic = |unit, format| Chunking::TextSplitter {
        capacity: 512,
        overlap: 0,
        unit,
        format,
    };
    for (name, chunking) in [
        (
            "recursive_character_text_splitter (default)",
            Chunking::RecursiveCharacterTextSplitter {
                chunk_size: 800,
                chunk_overlap: 400,
                separators: strings(&["\n\n", "\n", ".", "?", "!", " ", ""]),
                is_separator_regex: false,
            },
        ),
        ("character_text_splitter", character("\n\n", false)),
        ("character_text_splitter, an expression", character(r"\s+", true)),
        ("text_splitter, characters", semantic(Unit::Chars, TextFormat::Text)),
        (
            "text_splitter, characters of Markdown",
            semantic(Unit::Chars, TextFormat::Markdown),
        ),
        ("text_splitter, tokens", semantic(Unit::Tokens, TextFormat::Text)),
    ] {
        let splitter = Splitter::new(&chunking).expect("it can work");
        measure(name, (text.len(), "byte"), || {
            splitter
                .cut(&text, &CutWork::new(Bounds::NONE, &never))
                .expect("it is cut")
        });
    }
}
