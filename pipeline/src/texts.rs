//! What is embedded of a document, without a copy of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use crate::chunk::{CHUNK_BYTES, Chunk};
use crate::error::{Class, Failure, Step};
use crate::format::{Frame, GREATEST_LENGTH};
use crate::parse::{Marks, Parsed};
use crate::plan::Digest;

/// The texts of a document: its chunks, each in the template of its vectorizer.
///
/// Chunks are kept as places in the document, and put into the template when they are asked for: a
/// document of 200 MB takes 200 MB, however many chunks overlap and whatever the template adds to
/// each. The place of a chunk, and what the format of the document says of places, stay until the
/// chunk is written.
///
/// ```
/// use litemap::LiteMap;
/// use ai_pipeline::chunk::{Bounds, Splitter, CutWork, never};
/// use ai_pipeline::{config::Chunking, format::Template, texts::Texts};
/// let splitter = Splitter::new(&Chunking::RecursiveCharacterTextSplitter {
///     chunk_size: 8,
///     chunk_overlap: 0,
///     separators: vec![" ".to_owned()],
///     is_separator_regex: false,
/// })?;
/// let frame = Template::parse("Tea: $chunk")?.frame(&LiteMap::new())?;
/// let document = "leaves and water".to_owned();
/// let chunks = splitter.cut(&document, &CutWork::new(Bounds::NONE, &never))?;
/// let texts = Texts::new(document.into(), chunks, frame);
/// assert_eq!(texts.iter().collect::<Vec<_>>(), ["Tea: leaves", "Tea: and", "Tea: water"]);
/// assert_eq!(texts.place(2), 11..16);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Texts {
    document: String,
    marks: Marks,
    chunks: Vec<Chunk>,
    frame: Frame,
    /// Of all texts, or of none.
    digests: Vec<Digest>,
}

/// Bytes of texts that a document may be turned into. A template that names all that it may, each
/// once, exceeds none of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLimits {
    /// Of what the template adds to each chunk: columns as long as a document, and the template.
    pub frame: u64,
    /// Of one of them.
    pub one: u64,
    /// Of all of them together.
    pub all: u64,
    /// How many there may be.
    pub number: usize,
}

/// Bytes of a text from which on it is worth while to look whether the same chunk has been there
/// before.
const LONG_TEXT: usize = 1024;

/// All texts of a document together may be so many times as long as a document may be. They are written in one
/// transaction, for whose end `ai.drop_vectorizer` waits. An overlap of half a chunk makes two times as much.
const ALL: u64 = 4;

/// Chunks of a document. They replace those that are stored in one transaction, for which the documents of others wait
/// for some seconds.
const NUMBER: usize = 500_000;

impl TextLimits {
    /// Where a document may have so many bytes.
    pub fn new(document: u64) -> TextLimits {
        let frame = document.saturating_add(GREATEST_LENGTH as u64);
        TextLimits {
            frame,
            one: frame.saturating_add(document),
            all: document.saturating_mul(ALL),
            number: NUMBER,
        }
    }
}

/// Bytes that texts take up while they wait to be embedded and written: the document, what stands
/// beside it, and what the template adds to each.
pub fn room(document: &str, marks: &Marks, chunks: &[Chunk], frame: &Frame) -> u64 {
    let own = chunks.iter().map(Chunk::room).sum::<usize>() + document.len() + marks.room() + frame.room();
    (own as u64).saturating_add(CHUNK_BYTES.saturating_mul(chunks.len() as u64))
}

impl Texts {
    /// The chunks of a document.
    pub fn new(Parsed { text, marks }: Parsed, chunks: Vec<Chunk>, frame: Frame) -> Texts {
        let has_parts = chunks.iter().any(|chunk| chunk.own.is_none());
        Texts {
            document: if has_parts { text } else { String::new() },
            marks,
            chunks,
            frame,
            digests: Vec::new(),
        }
    }

    /// The digests of all texts: to make them takes long where those are long. What many equal
    /// chunks and a long template make is digested once.
    pub fn digests(&self) -> Vec<Digest> {
        let beginning = self.frame.beginning();
        let digest = |index| self.frame.digest_around(&beginning, self.chunk(index));
        let length: usize = (0..self.len()).map(|index| self.length(index)).sum();
        if length < LONG_TEXT.saturating_mul(self.len()) {
            return (0..self.len()).map(digest).collect();
        }
        let mut known: HashMap<&str, Digest> = HashMap::new();
        let known = |index| *known.entry(self.chunk(index)).or_insert_with(|| digest(index));
        (0..self.len()).map(known).collect()
    }

    /// With [`Texts::digests`], which were made before they are asked for.
    pub fn with(self, digests: Vec<Digest>) -> Texts {
        Texts { digests, ..self }
    }

    /// What one of them is told from others by.
    pub fn digest(&self, index: usize) -> Digest {
        let known = self.digests.get(index).copied();
        known.unwrap_or_else(|| self.frame.digest_around(&self.frame.beginning(), self.chunk(index)))
    }

    /// Checks that what the template makes of the chunks is not too long. Nothing of it is made for
    /// that.
    ///
    /// # Errors
    ///
    /// It is.
    pub fn check(&self, limits: TextLimits) -> Result<(), Failure> {
        if self.len() > limits.number {
            return Err(Failure {
                step: Step::Chunking,
                class: Class::Permanent,
                reason: format!("the document has {} chunks, more than {}", self.len(), limits.number),
                hint: Some("raise chunk_size, or make several documents of it".to_owned()),
            });
        }
        let mut all = 0_u64;
        for index in 0..self.len() {
            let length = self.length(index) as u64;
            if length > limits.one {
                let one = limits.one;
                return Err(too_long(format!(
                    "the template makes a text of {length} bytes of a chunk, more than {one}"
                )));
            }
            all = all.saturating_add(length);
        }
        if all > limits.all {
            let (number, most) = (self.len(), limits.all);
            return Err(too_long(format!(
                "the template makes texts of {all} bytes together of {number} chunks, more than {most}"
            )));
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there is none: the document is blank.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// One of them, by its number from 0, which is below [`Texts::len`]. A copy where the template
    /// adds something.
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

    /// The bytes of the parsed text that the chunk of one of them is made of.
    pub fn place(&self, index: usize) -> Range<usize> {
        self.chunks[index].place.clone()
    }

    /// What the format of the document says of places in its parsed text.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    fn chunk(&self, index: usize) -> &str {
        self.chunks[index].text(&self.document)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, str>> {
        (0..self.len()).map(|index| self.get(index))
    }
}

fn too_long(reason: String) -> Failure {
    Failure {
        step: Step::Formatting,
        class: Class::Permanent,
        reason,
        hint: Some(
            "have the template repeat less, raise chunk_size, or raise ai.max_document_size: a text may be about twice \
             as long as a document, and all texts of a document 16 times as long"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use litemap::LiteMap;

    use super::*;
    use crate::chunk::{Bounds, CutWork, Splitter, never};
    use crate::config::Chunking;
    use crate::format::Template;
    use crate::parse::Mark;

    fn texts(document: &str, chunking: &Chunking, template: &str) -> Texts {
        let frame = Template::parse(template).unwrap().frame(&LiteMap::new()).unwrap();
        let work = CutWork::new(Bounds::NONE, &never);
        let chunks = Splitter::new(chunking).unwrap().cut(document, &work).unwrap();
        Texts::new(document.to_owned().into(), chunks, frame)
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
        texts.chunks.iter().filter(|chunk| chunk.own.is_none()).count()
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
        let places: Vec<Range<usize>> = (0..texts.len()).map(|index| texts.place(index)).collect();
        assert_eq!(places, [0..8, 3..11], "where they came from is known all the same");
    }

    #[test]
    fn marks_and_places_stay_with_the_texts() {
        let marks = Marks::from_iter([Mark::page(0, 1), Mark::page(9, 2)]);
        let parsed = Parsed {
            text: "first pa\nsecond".to_owned(),
            marks: marks.clone(),
        };
        let chunks = vec![Chunk::part(0..8), Chunk::part(9..15)];
        let before = room(&parsed.text, &Marks::default(), &chunks, &Frame::default());
        assert_eq!(
            room(&parsed.text, &marks, &chunks, &Frame::default()) - before,
            marks.room() as u64
        );
        let texts = Texts::new(parsed, chunks, Frame::default());
        assert_eq!((texts.marks(), texts.place(1)), (&marks, 9..15));
    }

    #[test]
    fn digests_are_those_of_the_texts_made_ahead_or_not() {
        let texts = texts(DOCUMENT, &recursive(), "A $chunk");
        let asked: Vec<Digest> = (0..texts.len()).map(|index| texts.digest(index)).collect();
        assert_eq!(texts.digests(), asked);
        assert_eq!(asked[1], Digest::of(&texts.get(1)));
        let texts = texts.with(asked.clone());
        assert_eq!(texts.digest(1), asked[1]);
    }

    /// A gigabyte, of which a kilobyte is made.
    #[test]
    fn what_is_repeated_is_digested_once() {
        let document = "x ".repeat(100_000);
        let template = format!("$chunk {}", "y".repeat(10_000));
        let chunking = Chunking::CharacterTextSplitter {
            chunk_size: 1,
            chunk_overlap: 0,
            separator: " ".to_owned(),
            is_separator_regex: false,
        };
        let texts = texts(&document, &chunking, &template);
        assert_eq!(texts.len(), 100_000);
        let started = std::time::Instant::now();
        let digests = texts.digests();
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
        assert_eq!(digests.len(), texts.len());
        let first = Digest::of(&texts.get(0));
        assert!(digests.iter().all(|digest| *digest == first));
    }

    #[test]
    fn a_blank_document_has_no_text() {
        let texts = texts(" \n", &recursive(), "A $chunk");
        assert!(texts.is_empty());
        assert_eq!(texts.document, "");
    }

    #[test]
    fn what_the_template_makes_is_measured_before_it_is_made() {
        let chunk = "x".repeat(1 << 20);
        let texts = texts(&chunk, &Chunking::None, &"$chunk".repeat(1000));
        assert!(
            texts
                .check(TextLimits {
                    frame: 0,
                    one: 1000 << 20,
                    all: 1000 << 20,
                    number: 1
                })
                .is_ok()
        );
        let error = texts
            .check(TextLimits {
                frame: 0,
                one: (1000 << 20) - 1,
                all: u64::MAX,
                number: 1,
            })
            .unwrap_err();
        assert_eq!((error.step, error.class), (Step::Formatting, Class::Permanent));
        assert!(
            texts
                .check(TextLimits {
                    frame: 0,
                    one: u64::MAX,
                    all: (1000 << 20) - 1,
                    number: 1
                })
                .is_err()
        );
        let room = room(&texts.document, &texts.marks, &texts.chunks, &texts.frame) - (1 << 20) - CHUNK_BYTES;
        assert!(room < 64 << 10, "{room}");
    }

    #[test]
    fn a_document_has_no_more_chunks_than_one_transaction_writes_in_time() {
        let chunk_size = 10;
        let chunking = Chunking::CharacterTextSplitter {
            chunk_size,
            chunk_overlap: 0,
            separator: " ".to_owned(),
            is_separator_regex: false,
        };
        let texts = texts(&"ten bytes. ".repeat(40), &chunking, "$chunk");
        let limits = TextLimits::new(1 << 20);
        assert!(texts.check(limits).is_ok());
        let number = texts.len();
        assert!(number > 1);
        assert!(texts.check(TextLimits { number, ..limits }).is_ok());
        let error = texts
            .check(TextLimits {
                number: number - 1,
                ..limits
            })
            .unwrap_err();
        assert_eq!((error.step, error.class), (Step::Chunking, Class::Permanent));
        assert_eq!(
            error.reason,
            format!("the document has {number} chunks, more than {}", number - 1)
        );
    }
}
