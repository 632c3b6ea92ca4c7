//! What is embedded of a document, without a copy of it.

use std::borrow::Cow;
use std::ops::Range;

use crate::chunk::{self, Splitter};
use crate::format::Frame;

/// The texts of a document: its chunks, each in the template of its vectorizer.
///
/// Chunks are kept as places in the document, and put into the template when they are asked for: a document of 200 MB takes
/// 200 MB, however many chunks overlap and whatever the template adds to each.
///
/// ```
/// use std::collections::BTreeMap;
/// use ai_pipeline::{chunk::Splitter, config::Chunking, format::Template, texts::Texts};
/// let splitter = Splitter::new(&Chunking::RecursiveCharacterTextSplitter {
///     chunk_size: 8,
///     chunk_overlap: 0,
///     separators: vec![" ".to_owned()],
///     is_separator_regex: false,
/// })?;
/// let frame = Template::parse("Tea: $chunk")?.frame(&BTreeMap::new())?;
/// let texts = Texts::new("leaves and water".to_owned(), &splitter, frame)?;
/// assert_eq!(texts.iter().collect::<Vec<_>>(), ["Tea: leaves", "Tea: and", "Tea: water"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Texts {
    document: String,
    chunks: Vec<Chunk>,
    frame: Frame,
}

#[derive(Clone, Debug)]
enum Chunk {
    /// A part of the document, in bytes.
    Part(Range<usize>),
    /// Text that the document does not hold: pieces with something else between them.
    Own(Box<str>),
}

impl Texts {
    /// Cuts a document.
    ///
    /// # Errors
    ///
    /// Those of [`Splitter::split`].
    pub fn new(document: String, splitter: &Splitter, frame: Frame) -> Result<Texts, chunk::Error> {
        let chunks: Vec<Chunk> = splitter
            .split(&document)?
            .into_iter()
            .map(|chunk| match chunk {
                Cow::Borrowed(part) => {
                    // A part of the document begins behind its beginning.
                    let start = part.as_ptr().addr() - document.as_ptr().addr();
                    Chunk::Part(start..start + part.len())
                }
                Cow::Owned(text) => Chunk::Own(text.into_boxed_str()),
            })
            .collect();
        let has_parts = chunks.iter().any(|chunk| matches!(chunk, Chunk::Part(_)));
        let document = if has_parts { document } else { String::new() };
        Ok(Texts {
            document,
            chunks,
            frame,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there is none: the document is blank.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// One of them, by its number from 0, which is below [`Texts::len`]. A copy where the template adds something.
    pub fn get(&self, index: usize) -> Cow<'_, str> {
        self.frame.around(self.chunk(index))
    }

    /// The bytes of one of them, which is not made for it.
    pub fn length(&self, index: usize) -> usize {
        self.frame.length_around(self.chunk(index))
    }

    /// Bytes of what the template adds to each chunk: held once.
    pub fn frame_length(&self) -> usize {
        self.frame.length()
    }

    fn chunk(&self, index: usize) -> &str {
        match &self.chunks[index] {
            Chunk::Part(place) => &self.document[place.clone()],
            Chunk::Own(text) => text,
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, str>> {
        (0..self.len()).map(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Chunking;
    use crate::format::Template;

    fn texts(document: &str, chunking: &Chunking, template: &str) -> Texts {
        let frame = Template::parse(template).unwrap().frame(&BTreeMap::new()).unwrap();
        Texts::new(document.to_owned(), &Splitter::new(chunking).unwrap(), frame).unwrap()
    }

    fn recursive() -> Chunking {
        Chunking::RecursiveCharacterTextSplitter {
            chunk_size: 12,
            chunk_overlap: 6,
            separators: ["\n\n", " ", ""].map(String::from).to_vec(),
            is_separator_regex: false,
        }
    }

    fn character(separator: &str, is_separator_regex: bool) -> Chunking {
        Chunking::CharacterTextSplitter {
            chunk_size: 12,
            chunk_overlap: 6,
            separator: separator.to_owned(),
            is_separator_regex,
        }
    }

    fn parts(texts: &Texts) -> usize {
        texts
            .chunks
            .iter()
            .filter(|chunk| matches!(chunk, Chunk::Part(_)))
            .count()
    }

    const DOCUMENT: &str = "\u{feff}Ä heron \t waits.  It does\n\nnot  move.\n\n\n\nIndivisibilities end.";

    #[test]
    fn chunks_are_what_the_splitter_makes() {
        for chunking in [
            recursive(),
            character(" ", false),
            character(r"\s+", true),
            Chunking::None,
        ] {
            let splitter = Splitter::new(&chunking).unwrap();
            let texts = texts(DOCUMENT, &chunking, "$chunk");
            assert_eq!(
                texts.iter().collect::<Vec<_>>(),
                splitter.split(DOCUMENT).unwrap(),
                "{chunking:?}"
            );
            assert!(texts.len() > 1 || chunking == Chunking::None);
        }
    }

    #[test]
    fn chunks_that_the_document_holds_are_not_copied() {
        let whole = texts(DOCUMENT, &recursive(), "$chunk");
        assert_eq!(parts(&whole), whole.len());
        assert!(whole.iter().all(|text| matches!(text, Cow::Borrowed(_))));
        let glued = texts(DOCUMENT, &character("\n", false), "$chunk");
        assert!(parts(&glued) > 0, "what is put between pieces is mostly what was there");
    }

    #[test]
    fn a_document_that_none_of_the_chunks_is_a_part_of_is_let_go() {
        let texts = texts("aa1bb2cc3dd", &character(r"\d", true), "$chunk");
        assert_eq!(texts.iter().collect::<Vec<_>>(), [r"aa\dbb\dcc", r"bb\dcc\ddd"]);
        assert_eq!(texts.document, "");
    }

    #[test]
    fn a_blank_document_has_no_text() {
        let texts = texts(" \n", &recursive(), "A $chunk");
        assert!(texts.is_empty());
        assert_eq!(texts.document, "");
    }
}
