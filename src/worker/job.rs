//! A document that is being worked on: what it waits for, and what it has gathered so far.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::budget::Reservation;
use ai_pipeline::config::Embedding;
use ai_pipeline::embed::{Embedded, Incomplete};
use ai_pipeline::error::{self as pipeline, Failure};
use ai_pipeline::fingerprint::Fingerprint;
use ai_pipeline::memory::{Note, Remembered};
use ai_pipeline::plan::{self, Digest, Plan};
use ai_pipeline::prepare::Prepared;
use ai_pipeline::texts::Texts;
use ai_pipeline::worker::activity::Activity;

use crate::catalog::Vectorizer;
use crate::runtime::bridge::Task;
use crate::runtime::reservation::Reservations;
use crate::store::destination::StoredChunk;
use crate::store::queue::Item;
use crate::store::stash;

/// A claimed document on its way to the destination.
pub struct Job {
    pub vectorizer: Arc<Vectorizer>,
    pub item: Item,
    pub stage: Stage,
    /// The main thread leaves it alone until then: a lock of a user was in the way.
    pub not_before: Instant,
    /// Since when one has been.
    pub put_off: Option<Instant>,
    /// The database has refused a step of it together with others: it is done by itself.
    pub singly: bool,
    /// Claimed because a process died with it: runs alone.
    pub suspect: bool,
    /// Something was remembered of it.
    pub remembered: bool,
    /// The memory that it takes up.
    pub memory: Reservations,
}

impl Job {
    /// A lock of a user is in the way: the main thread looks again after `pause`.
    pub fn wait_for_a_lock(&mut self, now: Instant, pause: Duration) {
        self.not_before = now + pause;
        self.put_off.get_or_insert(now);
    }

    /// Some of its texts were longer than the model takes.
    pub fn was_cut(&self) -> bool {
        matches!(&self.stage, Stage::Writing { draft, .. } if !draft.cut.is_empty())
    }
}

/// Where a job is: with a task, whose handle ends it when the job is dropped, or waiting for the main thread.
pub enum Stage {
    /// It is still in its row: a task waits for memory.
    Queueing { remembered: Option<Remembered>, task: Task },
    /// There is memory for it.
    Reading {
        remembered: Option<Remembered>,
        memory: Reservations,
    },
    /// Loading, parsing, chunking and formatting, in a task.
    Preparing { task: Task },
    /// Its texts are known and wait to be compared with the stored ones.
    Comparing { texts: Texts, note: Note },
    /// Some texts are new, and a task waits for the vectors of `wanted`.
    Embedding {
        draft: Draft,
        wanted: Vec<usize>,
        task: Task,
    },
    /// Some vectors of a large document are there and wait to be put aside.
    Stashing {
        draft: Draft,
        wanted: Vec<usize>,
        vectors: Vec<Vec<f32>>,
    },
    /// All is there and waits for its transaction. The vectors of a large document are in the stash.
    Writing { draft: Draft, vectors: Vec<Vec<f32>> },
    /// It is as it was: nothing is written but, maybe, what is remembered of it.
    Finishing { note: Note },
    /// It failed, which waits to be noted in the queue. What is paid for is put aside with that.
    Settling { failure: Failure, paid: Paid },
}

/// Vectors of a document that failed, under the keys of their texts.
#[derive(Default)]
pub struct Paid {
    pub keys: Vec<Fingerprint>,
    pub vectors: Vec<Vec<f32>>,
}

impl Stage {
    /// It failed, and nothing is paid for.
    pub fn failed(failure: Failure) -> Stage {
        let paid = Paid::default();
        Stage::Settling { failure, paid }
    }

    /// What the main thread has to do next, if it is its turn.
    pub fn next_step(&self) -> Option<MainStep> {
        match self {
            Stage::Queueing { .. } | Stage::Preparing { .. } | Stage::Embedding { .. } => None,
            Stage::Reading { .. } => Some(MainStep::Read),
            Stage::Comparing { .. } => Some(MainStep::Compare),
            Stage::Stashing { .. } => Some(MainStep::Stash),
            Stage::Writing { .. } => Some(MainStep::Write),
            Stage::Finishing { .. } => Some(MainStep::Finish),
            Stage::Settling { .. } => Some(MainStep::Settle),
        }
    }

    /// How many stored chunks it has in memory.
    pub fn stored_chunks(&self) -> usize {
        match self {
            Stage::Embedding { draft, .. } | Stage::Stashing { draft, .. } | Stage::Writing { draft, .. } => {
                draft.stored.len()
            }
            Stage::Queueing { .. }
            | Stage::Reading { .. }
            | Stage::Preparing { .. }
            | Stage::Comparing { .. }
            | Stage::Finishing { .. }
            | Stage::Settling { .. } => 0,
        }
    }

    /// The task that it waits for.
    pub fn task(&self) -> Option<&Task> {
        match self {
            Stage::Queueing { task, .. } | Stage::Preparing { task } | Stage::Embedding { task, .. } => Some(task),
            Stage::Reading { .. }
            | Stage::Comparing { .. }
            | Stage::Stashing { .. }
            | Stage::Writing { .. }
            | Stage::Finishing { .. }
            | Stage::Settling { .. } => None,
        }
    }

    /// What is done with it, as the worker says of itself.
    pub fn work(&self) -> Activity {
        match self {
            Stage::Queueing { .. } | Stage::Reading { .. } | Stage::Preparing { .. } => Activity::Preparing,
            Stage::Embedding { .. } => Activity::Embedding,
            Stage::Comparing { .. }
            | Stage::Stashing { .. }
            | Stage::Writing { .. }
            | Stage::Finishing { .. }
            | Stage::Settling { .. } => Activity::Writing,
        }
    }

    /// The step of the pipeline that it is at, where that is not known any better.
    pub fn pipeline_step(&self) -> pipeline::Step {
        match self {
            Stage::Queueing { .. } | Stage::Reading { .. } | Stage::Preparing { .. } => pipeline::Step::Loading,
            Stage::Comparing { .. } => pipeline::Step::Chunking,
            Stage::Embedding { .. } | Stage::Settling { .. } => pipeline::Step::Embedding,
            Stage::Stashing { .. } | Stage::Writing { .. } | Stage::Finishing { .. } => pipeline::Step::Writing,
        }
    }

    /// Vectors that would be paid for again if it were given up now, and the chunks that they are of. Not
    /// those of a document whose texts were cut: nobody else knows of that.
    pub fn unwritten(&self) -> Option<(&Draft, &[Vec<f32>])> {
        match self {
            Stage::Writing { draft, vectors } if draft.stashed.is_none() && draft.cut.is_empty() => {
                (!vectors.is_empty()).then_some((draft, vectors))
            }
            _ => None,
        }
    }

    /// Chunks that the next step writes.
    pub fn new_chunks(&self) -> usize {
        match self {
            Stage::Writing { draft, .. } => draft.plan.embed.len(),
            _ => 0,
        }
    }
}

/// A step of the main thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MainStep {
    Read,
    Compare,
    Stash,
    Write,
    Finish,
    Settle,
}

impl MainStep {
    /// It gives the network threads something to do, and is done soon.
    pub fn is_quick(self) -> bool {
        match self {
            MainStep::Read | MainStep::Compare => true,
            MainStep::Stash | MainStep::Write | MainStep::Finish | MainStep::Settle => false,
        }
    }
}

/// The new state of a document, compared with the stored one.
pub struct Draft {
    pub texts: Arc<Texts>,
    pub stored: Vec<StoredChunk>,
    pub plan: Plan,
    /// What is to be written down with it.
    pub note: Note,
    /// Of a large document, and of one that has been here before: the texts whose vectors are in the stash.
    pub stashed: Option<HashSet<Fingerprint>>,
    /// Of the beginning of `plan.embed`, as far as it has been looked through: the keys of its texts in the
    /// stash, where they are or on their way to.
    keys: Vec<Fingerprint>,
    /// The texts that were too long for the model, as far as they have been embedded now.
    pub cut: Vec<usize>,
}

impl Draft {
    pub fn new(texts: Texts, stored: Vec<StoredChunk>, note: Note) -> Draft {
        let plan = if stored.is_empty() {
            // There is nothing to compare with: no text needs a digest.
            Plan {
                embed: (0..texts.len()).collect(),
                ..Plan::default()
            }
        } else {
            let old: Vec<Option<Digest>> = stored.iter().map(|chunk| chunk.text).collect();
            plan::compare(&old, (0..texts.len()).map(|index| Some(texts.digest(index))))
        };
        Draft {
            texts: Arc::new(texts),
            stored,
            plan,
            note,
            stashed: None,
            keys: Vec::new(),
            cut: Vec::new(),
        }
    }

    /// The chunks whose vectors are those of their beginnings, by `chunk_seq`: new ones, and those among `known`, their
    /// numbers until now, that keep their vectors.
    pub fn cut_chunks(&self, known: &[i64]) -> Vec<usize> {
        let was_cut = |index: &usize| known.contains(&i64::from(self.stored[*index].seq));
        let kept = self.plan.keep.iter().filter(|(index, _)| was_cut(index));
        let mut cut: Vec<usize> = kept.map(|&(_, seq)| seq).collect();
        cut.extend(&self.cut);
        cut.sort_unstable();
        cut
    }

    /// Bytes of the texts of some chunks.
    pub fn length_of(&self, indexes: &[usize]) -> usize {
        indexes.iter().map(|&index| self.texts.length(index)).sum()
    }

    /// Whether its new texts are more than so many, or more than so many bytes, and can be embedded portion by portion.
    pub fn exceeds(&self, (most, most_bytes): (usize, usize)) -> bool {
        let new = &self.plan.embed;
        new.len() > most || (new.len() > 1 && self.length_of(new) > most_bytes)
    }

    /// The keys in the stash of some chunks.
    pub fn keys_of(&self, indexes: &[usize], embedding: &Embedding) -> Vec<Fingerprint> {
        let keys = stash::Keys::of(embedding);
        let known = |index: &usize| self.keys.get(self.plan.embed.binary_search(index).ok()?).copied();
        let key = |index: &usize| known(index).unwrap_or_else(|| keys.key(&self.texts.digest(*index)));
        indexes.iter().map(key).collect()
    }

    /// The next chunks to embed: of a large document those that are not in the stash, each text once, up to
    /// so many, and so many bytes of texts, but at least one. Texts that are long are digested by now: none
    /// is hashed here, however often it is repeated.
    pub fn next_wanted(&mut self, (most, most_bytes): (usize, usize), embedding: &Embedding) -> Vec<usize> {
        let Some(stashed) = &self.stashed else {
            return self.plan.embed.clone();
        };
        let keys = stash::Keys::of(embedding);
        let (mut chosen, mut wanted, mut bytes) = (HashSet::new(), Vec::new(), 0usize);
        while wanted.len() < most
            && let Some(&index) = self.plan.embed.get(self.keys.len())
        {
            let length = self.texts.length(index);
            if !wanted.is_empty() && bytes.saturating_add(length) > most_bytes {
                break;
            }
            let key = keys.key(&self.texts.digest(index));
            if !stashed.contains(&key) && chosen.insert(key) {
                wanted.push(index);
                bytes = bytes.saturating_add(length);
            }
            self.keys.push(key);
        }
        wanted
    }
}

/// What a task hands back.
pub enum TaskOutcome {
    /// There is memory for the document.
    Reserved(Result<Reservations, Failure>),
    /// What the document is now.
    Prepared(Result<Prepared, Failure>),
    /// The vectors of the missing texts, and their memory.
    Embedded(Result<(Embedded, Reservation), Unembedded>),
}

/// What became of a document that could not be embedded.
pub struct Unembedded {
    pub failure: Failure,
    /// The vectors that are there all the same, under the places of their texts among those that were missing.
    pub vectors: Vec<(usize, Vec<f32>)>,
    /// Their memory.
    pub reservation: Option<Reservation>,
}

impl Unembedded {
    pub fn new(Incomplete { error, vectors }: Incomplete, reservation: Reservation) -> Unembedded {
        Unembedded {
            failure: error.into(),
            vectors,
            reservation: Some(reservation),
        }
    }
}

impl From<Failure> for Unembedded {
    fn from(failure: Failure) -> Unembedded {
        Unembedded {
            failure,
            vectors: Vec::new(),
            reservation: None,
        }
    }
}

/// The outcome of the task of a job.
pub struct TaskEvent {
    pub job: u64,
    pub outcome: TaskOutcome,
}
