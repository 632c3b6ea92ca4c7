//! Documents, and what the pipeline makes of them without a server: the reference for what the server stores.

use std::borrow::Cow;
use std::path::Path;

use ai_pipeline::chunk::Splitter;
use ai_pipeline::config::Chunking;
use ai_pipeline::parse;
use provider::vectors::Vocabulary;

/// A document of the demo.
pub fn demo(name: &str) -> Vec<u8> {
    read(&format!("demo/documents/{name}"))
}

/// A document of the pipeline's own tests of the parser.
pub fn parser_test(name: &str) -> Vec<u8> {
    read(&format!("pipeline/tests/data/parse/{name}"))
}

fn read(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of a document.
pub fn text(bytes: &[u8]) -> String {
    let format = parse::detect(bytes, None, None).expect("it can be read");
    parse::parse(bytes, format).expect("it can be read").text
}

/// The chunks of a text as `ai.create_vectorizer` cuts it when nothing else is said.
pub fn chunks(text: &str) -> Vec<String> {
    let separators = ["\n\n", "\n", ".", "?", "!", " ", ""];
    let default = Chunking::RecursiveCharacterTextSplitter {
        chunk_size: 800,
        chunk_overlap: 400,
        separators: separators.map(str::to_owned).to_vec(),
        is_separator_regex: false,
    };
    let splitter = Splitter::new(&default).expect("the defaults can work");
    let chunks = splitter.split(text).expect("the separators are no expressions");
    chunks.into_iter().map(Cow::into_owned).collect()
}

/// The vector that the provider gives for a text.
pub fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    Vocabulary::default().embed(text, dimensions)
}

/// A text of this many paragraphs, each about as long as a chunk may be, no two alike.
pub fn paragraphs(number: usize) -> Vec<String> {
    let words = [
        "river", "stone", "lantern", "harbour", "winter", "copper", "meadow", "signal",
    ];
    let paragraph = |number: usize| {
        let word = |at: usize| words[(at * 7 + number * 3 + at / 8) % words.len()];
        let sentence: Vec<String> = (0..100).map(|at| format!("{}{number}", word(at))).collect();
        format!("Paragraph {number}: {}", sentence.join(" "))
    };
    (0..number).map(paragraph).collect()
}
