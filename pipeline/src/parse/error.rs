//! Why a document has no text.

use std::path::PathBuf;
use std::time::Duration;

use super::child;
use crate::error::{Cause, Class, Failure, Step};
use crate::panics::Panicked;
use crate::process::Mishap;

/// What the hint says that can be read.
const SUPPORTED: &str = "plain text, Markdown, PDF with a text layer, and office, web and mail documents can be read; convert \
     others to one of these";

/// Why a document could not be turned into text. Never holds text of the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The document is of a format that cannot be read.
    #[error("the document is {seen}, which cannot be parsed")]
    Unsupported {
        /// The format, for people.
        seen: String,
    },
    /// Messages one after the other.
    #[error("the document is {seen}, and only single messages are parsed")]
    Mail {
        /// What they are in, for people.
        seen: &'static str,
    },
    /// More than half of the text is a file that was made letters.
    #[error("the document is mostly {how}, which is no text")]
    Encoded {
        /// By what, for people.
        how: &'static str,
    },
    /// Text in a charset that cannot be decoded.
    #[error("the document is text in {name}, which cannot be decoded")]
    Charset {
        /// The charset.
        name: &'static str,
    },
    /// The document was to be taken as text and is not.
    #[error("the document is not text but {seen}")]
    NotText {
        /// The format, for people.
        seen: String,
    },
    /// The name or the media type says PDF, the bytes do not.
    #[error("the document is called a PDF but is {seen}")]
    NotPdf {
        /// The format, for people.
        seen: String,
    },
    /// A PDF that cannot be read as one.
    #[error("the PDF is damaged: {what}")]
    DamagedPdf {
        /// The part that is.
        what: &'static str,
    },
    /// A PDF that asks for a password.
    #[error("the PDF is encrypted and needs a password")]
    Encrypted,
    /// A PDF in which no page holds text.
    #[error("the PDF has no text layer; OCR is not supported ({pages} pages)")]
    NoTextLayer {
        /// How many pages it has.
        pages: usize,
    },
    /// A document of another format that cannot be read as one.
    #[error("the {of} is damaged: {what}")]
    Damaged {
        /// The format, for people.
        of: &'static str,
        /// The part that is.
        what: &'static str,
    },
    /// A document of another format that asks for a password.
    #[error("the {of} is encrypted and needs a password")]
    Locked {
        /// The format, for people.
        of: &'static str,
    },
    /// A document that would need more than any honest one does.
    #[error("the {of} is refused: {what}")]
    Excessive {
        /// The format, for people.
        of: &'static str,
        /// Of what there is too much.
        what: &'static str,
    },
    /// An error of the document as the child process reported it.
    #[error("{reason}")]
    Reported {
        /// The class of the child's error.
        class: Class,
        /// Its text.
        reason: String,
        /// Its hint.
        hint: Option<String>,
    },
    /// The child was killed because it took too long.
    #[error("parsing took longer than {} s", limit.as_secs_f64())]
    TookTooLong {
        /// [`super::ParserLimits::timeout`].
        limit: Duration,
    },
    /// Others waited for its place, and it was begun anew as often as it may be.
    #[error("{}", crate::threads::CROWDED)]
    Crowded,
    /// The child asked for more memory than it may have.
    #[error("parsing needed more than {} MB of memory", limit / (1024 * 1024))]
    TooMuchMemory {
        /// [`super::ParserLimits::memory_bytes`].
        limit: u64,
    },
    /// The text is longer than allowed.
    #[error("the text of the document is longer than {limit} bytes")]
    TooMuchText {
        /// [`super::ParserLimits::text_bytes`].
        limit: u64,
    },
    /// The task that talked to the child panicked.
    #[error(transparent)]
    Panicked(#[from] Panicked),
    /// The child died in a way that says nothing about the document.
    #[error("the parser crashed: {how}")]
    Crashed {
        /// Signal, exit code or broken answer.
        how: String,
    },
    /// The child was killed from outside: the system, which is out of memory for whatever reason,
    /// or an administrator.
    #[error("the parser was killed from outside (SIGKILL)")]
    Killed,
    /// There is no such program, or it may not be run.
    #[error("cannot run {}: {cause}", program.display())]
    NoProgram {
        /// Where it was looked for.
        program: PathBuf,
        /// The system's words.
        #[source]
        cause: Cause,
    },
    /// The program is of another build than this library.
    #[error("{} is of another version than the library that started it", program.display())]
    OtherBuild {
        /// Where it is.
        program: PathBuf,
    },
    /// The system has no room for another process now.
    #[error("cannot start the parser: {0}")]
    NotStarted(
        /// The system's words.
        #[source]
        Cause,
    ),
}

impl Error {
    /// What follows for the item.
    pub fn class(&self) -> Class {
        match self {
            Error::Unsupported { .. }
            | Error::Mail { .. }
            | Error::Encoded { .. }
            | Error::Charset { .. }
            | Error::NotText { .. }
            | Error::NotPdf { .. }
            | Error::DamagedPdf { .. }
            | Error::Encrypted
            | Error::Damaged { .. }
            | Error::Locked { .. }
            | Error::Excessive { .. }
            | Error::NoTextLayer { .. }
            | Error::TookTooLong { .. }
            | Error::TooMuchMemory { .. }
            | Error::TooMuchText { .. } => Class::Permanent,
            Error::Reported { class, .. } => *class,
            Error::Panicked(panicked) => panicked.class(),
            Error::Crashed { .. } | Error::Killed => Class::Unknown,
            Error::NoProgram { .. } | Error::OtherBuild { .. } => Class::Configuration,
            Error::NotStarted(_) | Error::Crowded => Class::Transient,
        }
    }

    /// What to check or change, where there is something.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::Unsupported { .. } => SUPPORTED,
            Error::Mail { .. } => {
                "store each message as a document of its own, and attachments that are to be found, too"
            }
            Error::Encoded { .. } => "store what it holds, decoded; ai.parsing_none() takes any text as it is",
            Error::Charset { .. } => "store it in UTF-8",
            Error::NotText { .. } => "ai.parsing_none() takes text only: use ai.parsing_auto()",
            Error::NotPdf { .. } => "check that the document was stored whole and is what its name and media type say",
            Error::DamagedPdf { .. } => "check that the document was stored whole, and that a PDF viewer opens it",
            Error::Encrypted | Error::Locked { .. } => "store a copy without a password",
            Error::Damaged { .. } => {
                "check that the document was stored whole; what a program of its format opens can be saved anew by it"
            }
            Error::Excessive { .. } => "split the document; no honest one that is known is built so",
            Error::NoTextLayer { .. } => "store a copy with a text layer, as OCR programs make it",
            Error::Reported { hint, .. } => return hint.clone(),
            Error::Panicked(panicked) => return panicked.hint(),
            Error::TookTooLong { .. } => "raise ai.parser_timeout, or split the document",
            Error::TooMuchMemory { .. } => "raise ai.parser_memory, or split the document",
            Error::TooMuchText { .. } => "raise ai.max_document_size, or split the document",
            Error::Killed => {
                "if the system's log names its out-of-memory killer, give the server more memory, or lower ai.parser_memory"
            }
            Error::Crowded => "raise ai.parser_processes, or split the document",
            Error::NoProgram { .. } => "install the program with make install",
            Error::OtherBuild { .. } => "after an upgrade, restart the server; else run make install again",
            Error::Crashed { .. } | Error::NotStarted(_) => return None,
        };
        Some(hint.to_owned())
    }
}

impl From<Mishap> for Error {
    /// Of a child that parses, or cuts.
    fn from(mishap: Mishap) -> Error {
        match mishap {
            Mishap::Refused(report) => child::refusal(&report).unwrap_or_else(|| Error::Crashed {
                how: "its report is broken".to_owned(),
            }),
            Mishap::Late { limit } => Error::TookTooLong { limit },
            Mishap::Crowded => Error::Crowded,
            Mishap::OutOfMemory { limit } => Error::TooMuchMemory { limit },
            Mishap::TooLong { limit } => Error::TooMuchText { limit },
            Mishap::Panicked(panicked) => Error::Panicked(panicked),
            Mishap::Crashed { how } => Error::Crashed { how },
            Mishap::Killed => Error::Killed,
            Mishap::OtherBuild { program } => Error::OtherBuild { program },
            Mishap::NoProgram { program, cause } => Error::NoProgram { program, cause },
            Mishap::NotStarted(cause) => Error::NotStarted(cause),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure {
            step: Step::Parsing,
            class: error.class(),
            reason: error.to_string(),
            hint: error.hint(),
        }
    }
}
