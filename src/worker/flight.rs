//! A document that is being worked on: what it waits for, and what it has gathered so far.

use std::sync::Arc;
use std::time::Instant;

use ai_pipeline::error::Failure;
use ai_pipeline::memory::Note;
use ai_pipeline::plan::Plan;

use crate::bridge::Task;
use crate::catalog::Vectorizer;
use crate::destination::StoredChunk;
use crate::queue::Item;
use crate::worker::services::Prepared;

/// A claimed document on its way to the destination.
pub struct Flight {
    pub vectorizer: Arc<Vectorizer>,
    pub item: Item,
    pub stage: Stage,
    /// The main thread leaves it alone until then: a lock of a user was in the way.
    pub not_before: Instant,
    /// Claimed because a process died with it: flies alone.
    pub suspect: bool,
    /// Something was remembered of it.
    pub remembered: bool,
}

/// Where a flight is: with a task, whose handle ends it when the flight is dropped, or waiting for the main thread.
pub enum Stage {
    /// Loading, parsing, chunking and formatting, in a task.
    Preparing { _task: Task },
    /// Its texts are known and wait to be compared with the stored ones.
    Comparing { texts: Vec<String>, note: Note },
    /// Some texts are new, and a task waits for their vectors.
    Embedding { draft: Draft, _task: Task },
    /// All is there and waits for its transaction.
    Writing { draft: Draft, vectors: Vec<Vec<f32>> },
    /// It is as it was: nothing is written but, maybe, what is remembered of it.
    Finishing { note: Note },
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
            Stage::Finishing { .. } => Some(Step::Finish),
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
    Finish,
    Settle,
}

/// The new state of a document, compared with the stored one.
pub struct Draft {
    pub texts: Vec<String>,
    pub stored: Vec<StoredChunk>,
    pub plan: Plan,
    /// What is to be written down with it.
    pub note: Note,
}

impl Draft {
    pub fn new(texts: Vec<String>, stored: Vec<StoredChunk>, note: Note) -> Draft {
        let old: Vec<&str> = stored.iter().map(|chunk| chunk.text.as_str()).collect();
        let plan = ai_pipeline::plan::compare(&old, &texts);
        Draft {
            texts,
            stored,
            plan,
            note,
        }
    }

    /// The texts that need a vector, in the order of `plan.embed`.
    pub fn missing(&self) -> Vec<String> {
        self.plan.embed.iter().map(|&index| self.texts[index].clone()).collect()
    }
}

/// What a task hands back.
pub enum Outcome {
    /// What the document is now.
    Prepared(Result<Prepared, Failure>),
    /// The vectors of the missing texts.
    Embedded(Result<Vec<Vec<f32>>, Failure>),
}

/// The outcome of the task of a flight.
pub struct Event {
    pub flight: u64,
    pub outcome: Outcome,
}
