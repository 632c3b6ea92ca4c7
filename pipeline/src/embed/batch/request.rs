//! What a request holds.

use std::sync::Arc;
use std::time::Instant;

use super::search::Search;
use super::{Number, Size, Trial, WORD, Without, Word};

#[derive(Clone)]
pub(super) struct Input {
    pub document: u64,
    pub index: usize,
    pub can_wait: bool,
    pub texts: Arc<Vec<String>>,
    pub size: Size,
}

impl Input {
    pub fn text(&self) -> &str {
        &self.texts[self.index]
    }
}

/// The inputs of a request.
pub(super) struct Batch {
    pub inputs: Vec<Input>,
    /// Of the search for bad inputs that the batch is a part of.
    pub search: Option<Arc<Search>>,
    /// The provider shall cut it to what the model takes. Only for a single input, so that it is
    /// known which was cut.
    pub cut: bool,
    /// The request that was first sent with these inputs, or with these among others that it was
    /// refused with.
    pub since: Option<Number>,
    /// It is tried without something.
    pub trial: Option<Trial>,
    /// It was lost once.
    pub was_lost: bool,
}

impl Batch {
    pub fn new(inputs: Vec<Input>) -> Batch {
        Batch {
            inputs,
            search: None,
            cut: false,
            since: None,
            trial: None,
            was_lost: false,
        }
    }

    pub fn size(&self) -> Size {
        let mut size = Size::default();
        self.inputs.iter().for_each(|input| size.add(input.size));
        size
    }
}

/// What a request asks.
pub(super) enum Question {
    Batch(Batch),
    Word(Word),
}

impl Question {
    pub fn size(&self) -> Size {
        match self {
            Question::Batch(batch) => batch.size(),
            Question::Word(_) => Size::of(WORD),
        }
    }
}

pub(super) struct InFlight {
    pub question: Question,
    pub number: Number,
    pub without: Without,
    pub sent: Instant,
}

/// The documents of a request, and how many inputs of each follow one another.
pub(super) fn runs(inputs: &[Input]) -> Vec<(u64, usize)> {
    let runs = inputs.chunk_by(|one, next| one.document == next.document);
    runs.map(|run| (run[0].document, run.len())).collect()
}
