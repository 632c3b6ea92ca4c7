//! Where texts are cut: at hand, in a thread, or in a process, by what they may cost.
//!
//! | separators | text | where |
//! |---|---|---|
//! | regular expressions of a user | any | a process of its own, which is ended when it takes too long |
//! | others | short, and done in few steps | at hand |
//! | others | all that are not | a thread, which looks now and then whether to go on |

use std::sync::Arc;
use std::time::Duration;

use crate::chunk::{self, Bounds, Chunk, Error, Refusal, Splitter, Work, never, time_for};
use crate::config::Chunking;
use crate::error::Class;
use crate::parse::Parser;
use crate::threads::{Threads, Undone};

/// Bytes of a text from which on the network should not wait for it: a tenth of a millisecond and more.
pub const LONG: usize = 256 * 1024;
/// Steps that are done at hand: some milliseconds. Prose of less than [`LONG`] takes no more.
const STEPS: u64 = 4 << 20;

/// A chunking configuration whose sizes are checked. Clones share it.
#[derive(Clone, Debug)]
pub struct Cutting(How);

#[derive(Clone, Debug)]
enum How {
    Here(Arc<Splitter>),
    /// Its regular expressions are not even compiled here.
    Apart(Arc<Chunking>),
}

impl Cutting {
    /// Prepares a configuration. Regular expressions are not looked at; see [`Cutter::check`].
    ///
    /// # Errors
    ///
    /// Sizes that cannot work.
    pub fn new(chunking: &Chunking) -> Result<Cutting, Error> {
        Ok(Cutting(if chunk::has_expressions(chunking) {
            chunk::check_sizes(chunking)?;
            How::Apart(Arc::new(chunking.clone()))
        } else {
            How::Here(Arc::new(Splitter::new(chunking)?))
        }))
    }
}

/// Cuts texts within limits. Clones share threads and processes.
#[derive(Clone, Debug)]
pub struct Cutter {
    /// Processes.
    pub parser: Parser,
    /// Threads.
    pub threads: Threads<i32>,
    /// Whose turn it has to be.
    pub owner: i32,
    /// The longest that any text may take; see [`time_for`].
    pub timeout: Duration,
}

impl Cutter {
    /// The chunks of a text, which comes back with them.
    ///
    /// # Errors
    ///
    /// What the text takes above its bounds, and what is wrong with regular expressions.
    pub async fn cut(&self, text: String, cutting: &Cutting, bounds: Bounds) -> Result<(String, Vec<Chunk>), Refusal> {
        let limit = time_for(text.len(), self.timeout);
        let splitter = match &cutting.0 {
            How::Apart(chunking) => {
                let parser = self.parser.on_behalf_of(self.owner);
                return parser.cut(text, chunking, bounds, limit).await;
            }
            How::Here(splitter) => splitter,
        };
        if let Some(chunks) = cut_at_hand(&text, splitter, bounds)? {
            return Ok((text, chunks));
        }
        let (splitter, text) = (Arc::clone(splitter), Arc::new(text));
        let mine = Arc::clone(&text);
        let work = move |asked: crate::threads::Asked| splitter.cut(&mine, &Work::new(bounds, asked));
        let chunks = self.threads.run(self.owner, limit, work).await.map_err(undone)??;
        let text = Arc::try_unwrap(text).unwrap_or_else(|shared| (*shared).clone());
        Ok((text, chunks))
    }

    /// Whether a configuration is good for a vectorizer; the regular expressions are compiled, in a process of its own.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub async fn check(&self, chunking: &Chunking) -> Result<(), Refusal> {
        let cutting = Cutting::new(chunking)?;
        chunk::check_overlap(chunking)?;
        if let How::Apart(_) = cutting.0 {
            self.cut(String::new(), &cutting, Bounds::NONE).await?;
        }
        Ok(())
    }
}

impl Cutting {
    /// The chunks of a text, where they are had in a moment.
    ///
    /// # Errors
    ///
    /// Those of [`Cutter::cut`].
    pub fn at_hand(&self, text: &str, bounds: Bounds) -> Result<Option<Vec<Chunk>>, Refusal> {
        match &self.0 {
            How::Here(splitter) => Ok(cut_at_hand(text, splitter, bounds)?),
            How::Apart(_) => Ok(None),
        }
    }
}

fn cut_at_hand(text: &str, splitter: &Splitter, bounds: Bounds) -> Result<Option<Vec<Chunk>>, Error> {
    if text.len() >= LONG {
        return Ok(None);
    }
    let few = bounds.steps.min(STEPS);
    match splitter.cut(text, &Work::new(Bounds { steps: few, ..bounds }, &never)) {
        Err(Error::Steps { .. }) if few < bounds.steps => Ok(None),
        done => done.map(Some),
    }
}

fn undone(undone: Undone) -> Refusal {
    let (class, hint) = match undone {
        Undone::NotStarted(_) | Undone::OutOfMemory => (Class::Transient, None),
        Undone::Panicked => (
            Class::Unknown,
            Some("The server log has the place; please report it.".to_owned()),
        ),
    };
    Refusal::new(class, undone.to_string(), hint, false)
}
