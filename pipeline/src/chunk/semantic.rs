//! `chunking_text_splitter`: the crate text-splitter, which cuts at the largest semantic unit that fits.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use text_splitter::{ChunkConfig, ChunkSizer, MarkdownSplitter, TextSplitter};

use super::langchain::{ChunkSize, Chunks};
use super::{CutWork, Error};
use crate::config::{TextFormat, Unit};

/// Steps that it takes to count the tokens of a byte, where it takes one to count its characters.
const TOKEN_STEPS: usize = 20;

/// Counts as configured, and what that costs.
#[derive(Clone, Copy)]
struct Counter<'w> {
    unit: Unit,
    work: &'w CutWork<'w>,
}

impl ChunkSizer for Counter<'_> {
    fn size(&self, chunk: &str) -> usize {
        let steps = match self.unit {
            Unit::Chars => chunk.len(),
            Unit::Tokens => chunk.len().saturating_mul(TOKEN_STEPS),
        };
        if let Err(error) = self.work.spend(steps) {
            // The crate asks for sizes only, and takes no other answer. This is no panic: no hook is told of it.
            resume_unwind(Box::new(Stopped(error)));
        }
        match self.unit {
            Unit::Chars => chunk.chars().count(),
            // The vocabulary is unpacked by the first call, once for the process.
            Unit::Tokens => bpe_openai::cl100k_base().count(chunk),
        }
    }
}

/// What a [`Counter`] unwinds with.
struct Stopped(Error);

#[derive(Debug)]
pub(super) struct Semantic {
    limits: ChunkSize,
    unit: Unit,
    format: TextFormat,
}

impl Semantic {
    /// `None` if the overlap is not smaller than the size.
    pub fn new(limits: ChunkSize, unit: Unit, format: TextFormat) -> Option<Semantic> {
        (limits.overlap < limits.size).then_some(Semantic { limits, unit, format })
    }

    pub fn split(&self, chunks: &mut Chunks) -> Result<(), Error> {
        let (text, work) = (chunks.text, chunks.work);
        work.spend(text.len())?;
        let config = ChunkConfig::new(self.limits.size)
            .with_sizer(Counter { unit: self.unit, work })
            .with_overlap(self.limits.overlap)
            .expect("the overlap is smaller than the size");
        let cut = AssertUnwindSafe(|| match self.format {
            TextFormat::Text => TextSplitter::new(config)
                .chunk_indices(text)
                .try_for_each(|(start, chunk)| chunks.push(start..start + chunk.len())),
            TextFormat::Markdown => MarkdownSplitter::new(config)
                .chunk_indices(text)
                .try_for_each(|(start, chunk)| chunks.push(start..start + chunk.len())),
        });
        catch_unwind(cut).unwrap_or_else(|payload| match payload.downcast() {
            Ok(stopped) => {
                let Stopped(error) = *stopped;
                Err(error)
            }
            Err(payload) => resume_unwind(payload),
        })
    }
}
