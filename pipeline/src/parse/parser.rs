//! The parent's side: documents are parsed, or texts cut at regular expressions of a user, by child
//! processes.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use super::child::{self, Arguments, ParseTask};
use super::{Error, Parsed, detect, text};
use crate::budget::{Budget, Reservation};
use crate::chunk::{self, Bounds, Chunk, CutRefusal};
use crate::config::{Chunking, Parsing};
use crate::process::{ChildRequest, Output, Supervisor};

/// What one document may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParserLimits {
    /// Wall-clock time from the start of the child to its end; waiting for a free place is not
    /// counted.
    pub timeout: Duration,
    /// Address space of the child, in bytes: the document, what the parser makes of it, the text,
    /// some 10 MB of program.
    pub memory_bytes: u64,
    /// Greatest length of the text, in bytes, with what is said of its places.
    pub text_bytes: u64,
}

/// Has documents parsed by child processes, a limited number at a time. Clones share the limit, by
/// turns between those that [`Parser::on_behalf_of`] names.
#[derive(Clone, Debug)]
pub struct Parser {
    children: Supervisor<i32>,
    limits: ParserLimits,
    owner: i32,
}

impl Parser {
    /// `program` is the path of `ai-parser`; `concurrency` (at least one) how many children run at
    /// a time.
    pub fn new(program: PathBuf, limits: ParserLimits, concurrency: usize) -> Parser {
        Parser {
            children: Supervisor::new(program, limits.memory_bytes, concurrency),
            limits,
            owner: 0,
        }
    }

    /// The confinements that the system has refused to a child, for people, as soon as one has said
    /// so.
    pub fn unconfined(&self) -> Option<&str> {
        self.children.unconfined()
    }

    /// The same for another owner of documents: each has turns of its own.
    pub fn on_behalf_of(&self, owner: i32) -> Parser {
        Parser { owner, ..self.clone() }
    }

    /// The text of a document, and the marks in it. Its name (of which the extension counts) and
    /// media type help where the bytes do not say what it is; see [`detect`](super::detect()).
    ///
    /// Bytes that are clean UTF-8 text are taken as they are in this process, as there is nothing
    /// to parse; all others go to a child. The child sees none of the environment, and of the
    /// document's name only the extension. When the future is dropped, the child is killed.
    ///
    /// Needs a tokio runtime with I/O and time. On a kernel with pidfd (5.10) no signal handler is
    /// installed; on older ones tokio installs one for SIGCHLD.
    ///
    /// # Errors
    ///
    /// All of [`Error`]; those of the document come from the child as [`Error::Reported`].
    pub async fn parse(
        &self,
        bytes: Bytes,
        name: Option<&str>,
        media_type: Option<&str>,
        how: Parsing,
    ) -> Result<Parsed, Error> {
        match self.parse_up_to(u64::MAX, bytes, name, media_type, how).await? {
            Measured::Parsed(parsed) => Ok(parsed),
            Measured::Longer { .. } => unreachable!("there is room for all"),
        }
    }

    /// The same within a budget, of which `reservation` is for `cost` times the size of the
    /// document or more. A document that turns out to have more text than that has room for is
    /// parsed again when there is room.
    ///
    /// The reservation that comes back is for what the text is turned into, and is to be kept with
    /// that.
    ///
    /// # Errors
    ///
    /// Those of [`Parser::parse`].
    pub async fn parse_within(
        &self,
        budget: &Budget,
        cost: u64,
        mut reservation: Reservation,
        mut bytes: Bytes,
        hints: Hints<'_>,
    ) -> Result<(Parsed, Reservation), Error> {
        let Hints { name, media_type, how } = hints;
        // A document that is larger than the budget could not reserve all that it needs.
        let mut room = (reservation.bytes() / cost.max(1)).max(bytes.len() as u64);
        loop {
            match self.parse_up_to(room, bytes, name, media_type, how).await? {
                Measured::Parsed(parsed) => {
                    reservation.shrink(cost.saturating_mul(parsed.room() as u64));
                    return Ok((parsed, reservation));
                }
                Measured::Longer { bytes: again, length } => {
                    bytes = again;
                    room = length;
                    // Two that keep what they have and wait for more could wait for each other. The
                    // bytes stay: of a document with more text than bytes they are the smaller
                    // part.
                    drop(reservation);
                    reservation = budget.reserve(cost.saturating_mul(length)).await;
                }
            }
        }
    }

    /// [`Parser::parse`] where there is room for a text of so many bytes only: of a longer one no
    /// more is kept than that.
    ///
    /// # Errors
    ///
    /// Those of [`Parser::parse`].
    pub async fn parse_up_to(
        &self,
        room: u64,
        bytes: Bytes,
        name: Option<&str>,
        media_type: Option<&str>,
        how: Parsing,
    ) -> Result<Measured, Error> {
        if bytes.is_empty() {
            return Ok(Measured::Parsed(Parsed::default()));
        }
        let arguments = Arguments {
            task: ParseTask::Parse,
            as_text: how == Parsing::None,
            extension: name.and_then(detect::extension),
            media_type: media_type.and_then(detect::essence),
        };
        if text::is_clean(&bytes) && needs_no_child(&bytes, &arguments)? {
            let text = text::of_clean(bytes)?;
            return if text.len() as u64 > self.limits.text_bytes {
                Err(self.too_much_text())
            } else {
                // It takes no more than the bytes did, which are gone.
                Ok(Measured::Parsed(text.into()))
            };
        }
        let order = ChildRequest {
            words: arguments.words(),
            input: [Bytes::new(), bytes.clone()],
            timeout: self.limits.timeout,
            room,
            most: self.limits.text_bytes,
        };
        Ok(match self.run(order).await? {
            Output::Longer { length } => Measured::Longer { bytes, length },
            Output::Whole(answer) => Measured::Parsed(child::read(answer).ok_or(crashed("its answer is not text"))?),
        })
    }

    /// Cuts a text, whatever its separators cost: in no more than `timeout`, and the memory that a
    /// document may have.
    ///
    /// # Errors
    ///
    /// What the child says of the text and its configuration, and why there is no child, or no
    /// answer from it.
    pub async fn cut(
        &self,
        text: String,
        chunking: &Chunking,
        bounds: Bounds,
        timeout: Duration,
    ) -> Result<(String, Vec<Chunk>), CutRefusal> {
        let memory = self.limits.memory_bytes;
        let text = Bytes::from(text);
        // As many bytes for a chunk as are counted for it are more than its place takes.
        let most = bounds.room.saturating_add(chunk::CHUNK_BYTES);
        let arguments = Arguments {
            task: ParseTask::Cut,
            ..Arguments::default()
        };
        let order = ChildRequest {
            words: arguments.words(),
            input: [chunk::child::order(chunking, bounds).into(), text.clone()],
            timeout,
            room: most,
            most,
        };
        let outcome = self.run(order).await.map_err(|error| match error {
            Error::TookTooLong { .. } => CutRefusal::from(chunk::Error::Late { limit: timeout }),
            Error::TooMuchMemory { .. } => CutRefusal::from(chunk::Error::Memory { limit: memory }),
            other => CutRefusal::from(other),
        })?;
        let text = String::from_utf8(text.into()).expect("it was a text before");
        let answer = match &outcome {
            Output::Whole(answer) => chunk::child::read(&answer.body, &text),
            Output::Longer { .. } => None,
        };
        let nonsense = || CutRefusal::from(crashed("its answer is none"));
        let chunks = answer.ok_or_else(nonsense)??;
        Ok((text, chunks))
    }

    async fn run(&self, order: ChildRequest) -> Result<Output, Error> {
        Ok(self.children.run(self.owner, order).await?)
    }

    fn too_much_text(&self) -> Error {
        Error::TooMuchText {
            limit: self.limits.text_bytes,
        }
    }
}

/// What is known of a document beside its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Hints<'h> {
    /// Of which the extension counts.
    pub name: Option<&'h str>,
    /// As its server calls it.
    pub media_type: Option<&'h str>,
    /// What the configuration says.
    pub how: Parsing,
}

/// What became of a document within the room for its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measured {
    /// Its text, and the marks in it.
    Parsed(Parsed),
    /// They have more bytes than there was room for, and were thrown away.
    Longer {
        /// The document, to be parsed again when there is room.
        bytes: Bytes,
        /// Bytes of text and marks.
        length: u64,
    },
}

fn crashed(how: &str) -> Error {
    Error::Crashed { how: how.to_owned() }
}

impl From<Error> for CutRefusal {
    fn from(error: Error) -> CutRefusal {
        CutRefusal::new(error.class(), error.to_string(), error.hint(), false)
    }
}

/// Whether clean bytes are text by what they say of themselves: on such bytes detection compares a
/// few signatures only.
fn needs_no_child(bytes: &[u8], arguments: &Arguments) -> Result<bool, Error> {
    if arguments.as_text {
        return Ok(true);
    }
    let format = detect::detect_by(bytes, arguments.extension.as_deref(), arguments.media_type.as_deref())?;
    Ok(format.is_text())
}
