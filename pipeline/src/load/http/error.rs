//! Why a document on the web was not read.

use std::time::Duration;

use crate::error::{Cause, Class};

/// Hops after the first request.
pub(super) const GREATEST_REDIRECTS: usize = 5;

/// Why a document on the web was not read. URLs are shown without their query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The setting is off.
    #[error("reading documents over http is not allowed")]
    Closed,
    /// The host, or all its addresses, are not on the public internet.
    #[error("host {host} is not on the public internet")]
    Private {
        /// Name or address.
        host: String,
    },
    /// The server answered something else than a document.
    #[error("{url} was answered with {status} {text}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Its usual text.
        text: &'static str,
        /// How long to wait, where the server says so.
        retry_after: Option<Duration>,
    },
    /// More than five redirects.
    #[error("more than {GREATEST_REDIRECTS} redirects, the last one to {url}")]
    Redirects {
        /// The last target.
        url: String,
    },
    /// A redirect to nowhere, to another scheme or with credentials.
    #[error("{url} was answered with {status}, a redirect that cannot be followed")]
    Redirect {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// No connection, or none that lasted.
    #[error("host {host} cannot be reached: {cause}")]
    Unreachable {
        /// Name or address.
        host: String,
        /// What the connection said.
        #[source]
        cause: Cause,
    },
    /// TLS cannot be set up on this machine.
    #[error("the http client cannot be set up: {cause}")]
    Client {
        /// What the library said.
        #[source]
        cause: Cause,
    },
}

impl Error {
    /// What follows from it.
    pub fn class(&self) -> Class {
        match self {
            Error::Status {
                status: 429,
                retry_after,
                ..
            } => Class::Throttled {
                retry_after: *retry_after,
            },
            // 408 and 425 ask for the same request again.
            Error::Status {
                status: 408 | 425 | 500..,
                ..
            }
            | Error::Unreachable { .. } => Class::Transient,
            Error::Status { .. } | Error::Redirects { .. } | Error::Redirect { .. } => Class::Permanent,
            Error::Closed | Error::Private { .. } => Class::Permanent,
            Error::Client { .. } => Class::Configuration,
        }
    }

    /// What to check or change.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Closed => Some("a superuser can allow it with the setting ai.allow_http".to_owned()),
            Error::Private { .. } => Some(
                "a superuser can allow private, loopback and link-local addresses with the setting \
                 ai.allow_private_addresses"
                    .to_owned(),
            ),
            Error::Status { status: 401 | 403, .. } => Some("only documents that need no login can be read".to_owned()),
            Error::Client { .. } => Some("check the certificates of the operating system".to_owned()),
            Error::Status { .. } | Error::Redirects { .. } | Error::Redirect { .. } | Error::Unreachable { .. } => None,
        }
    }
}
