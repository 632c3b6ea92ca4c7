//! `chunking_text_splitter`: the crate text-splitter, which cuts at the largest semantic unit that fits.

use std::borrow::Cow;

use text_splitter::{ChunkConfig, ChunkSizer, MarkdownSplitter, TextSplitter};

use super::langchain::Limits;
use crate::config::{TextFormat, Unit};

/// Counts as configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counter(Unit);

impl ChunkSizer for Counter {
    fn size(&self, chunk: &str) -> usize {
        match self.0 {
            Unit::Chars => chunk.chars().count(),
            // The vocabulary is unpacked by the first call, once for the process.
            Unit::Tokens => bpe_openai::cl100k_base().count(chunk),
        }
    }
}

#[derive(Debug)]
pub(super) enum Semantic {
    Text(TextSplitter<Counter>),
    Markdown(MarkdownSplitter<Counter>),
}

impl Semantic {
    /// `None` if the overlap is not smaller than the size.
    pub fn new(limits: &Limits, unit: Unit, format: TextFormat) -> Option<Semantic> {
        let config = ChunkConfig::new(limits.size)
            .with_sizer(Counter(unit))
            .with_overlap(limits.overlap)
            .ok()?;
        Some(match format {
            TextFormat::Text => Semantic::Text(TextSplitter::new(config)),
            TextFormat::Markdown => Semantic::Markdown(MarkdownSplitter::new(config)),
        })
    }

    pub fn split<'t>(&self, text: &'t str) -> Vec<Cow<'t, str>> {
        match self {
            Semantic::Text(splitter) => splitter.chunks(text).map(Cow::Borrowed).collect(),
            Semantic::Markdown(splitter) => splitter.chunks(text).map(Cow::Borrowed).collect(),
        }
    }
}
