//! Why a file of the server was not read.

use std::path::PathBuf;

use crate::error::{Cause, Class};
use crate::panics::Panicked;

/// Why a file was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No directory is open.
    #[error("reading files of the server is not allowed")]
    Closed,
    /// Not below an open directory, or only through `..` or a symbolic link that leaves it.
    #[error("file {} is not below a directory that may be read", path.display())]
    Outside {
        /// As the row says.
        path: PathBuf,
    },
    /// An open directory that cannot be opened.
    #[error("directory {} cannot be opened: {cause}", directory.display())]
    Directory {
        /// As the setting says.
        directory: PathBuf,
        /// What the system said.
        #[source]
        cause: Cause,
    },
    /// No such file.
    #[error("file {} does not exist", path.display())]
    Missing {
        /// As the row says.
        path: PathBuf,
    },
    /// The operating system says no.
    #[error("file {} cannot be read: permission denied", path.display())]
    Denied {
        /// As the row says.
        path: PathBuf,
    },
    /// A directory, pipe, socket or device.
    #[error("{} is not a regular file", path.display())]
    NotRegular {
        /// As the row says.
        path: PathBuf,
    },
    /// Anything else the system said.
    #[error("file {} cannot be read: {cause}", path.display())]
    Io {
        /// As the row says.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: Cause,
    },
    /// Reading it broke off.
    #[error("reading a file was interrupted: {0}")]
    Interrupted(Panicked),
}

impl Error {
    /// What follows from it.
    pub fn class(&self) -> Class {
        match self {
            Error::Closed | Error::Outside { .. } | Error::Missing { .. } => Class::Permanent,
            Error::Denied { .. } | Error::NotRegular { .. } => Class::Permanent,
            Error::Directory { .. } => Class::Configuration,
            Error::Io { .. } => Class::Unknown,
            Error::Interrupted(panicked) => panicked.class(),
        }
    }

    /// What to check or change.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Closed => Some("a superuser can open a directory with the setting ai.file_directories".to_owned()),
            Error::Outside { .. } => Some(
                "ai.file_directories lists the directories; `..` and symbolic links are followed only inside them, and \
                 links must be relative"
                    .to_owned(),
            ),
            Error::Directory { .. } => Some("correct the setting ai.file_directories".to_owned()),
            Error::Denied { .. } => {
                Some("the operating system user of the Postgres server needs to be able to read it".to_owned())
            }
            Error::Interrupted(panicked) => panicked.hint(),
            Error::Missing { .. } | Error::NotRegular { .. } | Error::Io { .. } => None,
        }
    }
}
