//! A document that is being worked on: what it waits for, and what it has gathered so far.

use std::sync::Arc;
use std::time::Instant;

use ai_pipeline::embed::Embedded;
use ai_pipeline::error::Failure;
use ai_pipeline::plan::Plan;

use crate::bridge::Task;
use crate::catalog::Vectorizer;
use crate::destination::StoredChunk;
use crate::queue::Item;

/// A claimed document on its way to the destination.
pub struct Flight {
    pub vectorizer: Arc<Vectorizer>,
    pub item: Item,
    pub stage: Stage,
    /// The main thread leaves it alone until then: a lock of a user was in the way.
    pub not_before: Instant,
    /// Claimed because a process died with it: flies alone.
    pub suspect: bool,
}

impl Flight {
    /// Some of its texts were longer than the model takes.
    pub fn was_cut(&self) -> bool {
        matches!(&self.stage, Stage::Writing { draft, .. } if !draft.cut.is_empty())
    }
}

/// Where a flight is: with a task, whose handle ends it when the flight is dropped, or waiting for the main thread.
pub enum Stage {
    /// Loading, parsing, chunking and formatting, in a task.
    Preparing { _task: Task },
    /// Its texts are known and wait to be compared with the stored ones.
    Comparing { texts: Vec<String> },
    /// Some texts are new, and a task waits for their vectors.
    Embedding { draft: Draft, _task: Task },
    /// All is there and waits for its transaction.
    Writing { draft: Draft, vectors: Vec<Vec<f32>> },
    /// It failed, which waits to be noted in the queue.
    Settling { failure: Failure },
}

impl Stage {
    /// What the main thread has to do next, if it is its turn.
    pub fn next_step(&self) -> Option<Step> {
        match self {
            Stage::Preparing { .. } | Stage::Embedding { .. } => None,
            Stage::Comparing { .. } => Some(Step::Compare),
            Stage::Writing { .. } => Some(Step::Write),
            Stage::Settling { .. } => Some(Step::Settle),
        }
    }

    /// Chunks that the next step writes.
    pub fn new_chunks(&self) -> usize {
        match self {
            Stage::Writing { vectors, .. } => vectors.len(),
            _ => 0,
        }
    }
}

/// A step of the main thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Compare,
    Write,
    Settle,
}

/// The new state of a document, compared with the stored one.
pub struct Draft {
    pub texts: Vec<String>,
    pub stored: Vec<StoredChunk>,
    pub plan: Plan,
    /// Which of `plan.embed` were too long for the model, once the vectors are there.
    pub cut: Vec<usize>,
}

impl Draft {
    pub fn new(texts: Vec<String>, stored: Vec<StoredChunk>) -> Draft {
        let old: Vec<&str> = stored.iter().map(|chunk| chunk.text.as_str()).collect();
        let plan = ai_pipeline::plan::compare(&old, &texts);
        let cut = Vec::new();
        Draft {
            texts,
            stored,
            plan,
            cut,
        }
    }

    /// The chunks whose vectors are those of their beginnings, by `chunk_seq`: new ones, and those among `known`, their
    /// numbers until now, that keep their vectors.
    pub fn cut_chunks(&self, known: &[i64]) -> Vec<usize> {
        let was_cut = |index: &usize| known.contains(&i64::from(self.stored[*index].seq));
        let kept = self.plan.keep.iter().filter(|(index, _)| was_cut(index));
        let mut cut: Vec<usize> = kept.map(|&(_, seq)| seq).collect();
        cut.extend(self.cut.iter().map(|&index| self.plan.embed[index]));
        cut.sort_unstable();
        cut
    }

    /// The texts that need a vector, in the order of `plan.embed`.
    pub fn missing(&self) -> Vec<String> {
        self.plan.embed.iter().map(|&index| self.texts[index].clone()).collect()
    }
}

/// What a task hands back.
pub enum Outcome {
    /// The formatted chunks of the document.
    Prepared(Result<Vec<String>, Failure>),
    /// The vectors of the missing texts.
    Embedded(Result<Embedded, Failure>),
}

/// The outcome of the task of a flight.
pub struct Event {
    pub flight: u64,
    pub outcome: Outcome,
}
