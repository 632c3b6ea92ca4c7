//! Why a document did not arrive, wherever it is.

use super::file::error::Error as FileError;
use super::http::error::Error as HttpError;
use crate::error::{Cause, Class, Failure, Step};
use crate::s3::Error as S3Error;
use crate::uri;

/// Why a document did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not a URI that can be loaded.
    #[error(transparent)]
    Uri(#[from] uri::Error),
    /// S3, STS or the credentials for them.
    #[error(transparent)]
    S3(Box<S3Error>),
    /// The web.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Files of the server.
    #[error(transparent)]
    File(#[from] FileError),
    /// The foreign server that it would come from is not for it.
    #[error("{reason}")]
    Forbidden {
        /// Why.
        reason: String,
        /// What would help.
        hint: Option<String>,
    },
    /// Not below any of the URLs that the foreign server allows.
    #[error("document {location} is not at a place that its server allows")]
    NotAllowed {
        /// The document, or where a redirect led.
        location: String,
    },
    /// Above [`Settings::max_document_bytes`](super::LoadSettings::max_document_bytes).
    #[error("document {location} is larger than {limit} bytes{}", size.map(|n| format!(": it has {n}")).unwrap_or_default())]
    TooLarge {
        /// The document.
        location: String,
        /// Its size in bytes, where it was announced.
        size: Option<u64>,
        /// The cap, in bytes.
        limit: u64,
    },
    /// Encoded for the way in a manner that is not known here.
    #[error("document {location} has the Content-Encoding {encoding}, which cannot be undone")]
    Encoding {
        /// The document.
        location: String,
        /// What it says.
        encoding: String,
    },
    /// Its bytes are not what its `Content-Encoding` says.
    #[error("document {location} is damaged: it cannot be decoded by its Content-Encoding {encoding}")]
    Damaged {
        /// The document.
        location: String,
        /// What it says.
        encoding: String,
    },
    /// Too slow as a whole, or nothing came for a while.
    #[error("document {location} did not arrive: no answer, or no end of it, within {seconds} s")]
    TimedOut {
        /// The document.
        location: String,
        /// The time it had.
        seconds: f64,
    },
    /// The connection broke in the middle of the body.
    #[error("document {location} broke off: {cause}")]
    Interrupted {
        /// The document.
        location: String,
        /// What the connection said.
        #[source]
        cause: Cause,
    },
}

impl From<S3Error> for Error {
    fn from(error: S3Error) -> Self {
        Error::S3(Box::new(error))
    }
}

impl Error {
    /// What follows from it.
    pub fn class(&self) -> Class {
        match self {
            Error::Uri(error) => error.class(),
            Error::S3(error) => error.class(),
            Error::Http(error) => error.class(),
            Error::File(error) => error.class(),
            Error::TooLarge { .. }
            | Error::Forbidden { .. }
            | Error::NotAllowed { .. }
            | Error::Encoding { .. }
            | Error::Damaged { .. } => Class::Permanent,
            Error::TimedOut { .. } | Error::Interrupted { .. } => Class::Transient,
        }
    }

    /// What to check or change.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Uri(error) => error.hint(),
            Error::S3(error) => error.hint(),
            Error::Http(error) => error.hint(),
            Error::File(error) => error.hint(),
            Error::Forbidden { hint, .. } => hint.clone(),
            Error::NotAllowed { .. } => {
                Some("an administrator can allow it: ALTER SERVER ... OPTIONS (SET allowed_urls '...')".to_owned())
            }
            Error::TooLarge { .. } => Some("raise ai.max_document_size, or split the document".to_owned()),
            Error::Encoding { .. } => Some("store it as it is, or with gzip or deflate".to_owned()),
            Error::Damaged { .. } => Some("check that the document was stored whole".to_owned()),
            Error::TimedOut { .. } | Error::Interrupted { .. } => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure {
            step: Step::Loading,
            class: error.class(),
            reason: error.to_string(),
            hint: error.hint(),
        }
    }
}
