//! A URI to the bytes behind it.
//!
//! One document at a time, whole, in memory, below a cap; no retries, because the queue does those. What is open to be
//! read is the administrator's choice ([`Settings`]): S3 always, the web and the server's files only on request.

mod encoding;
mod file;
mod http;
mod s3;
mod tag;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::sync::Semaphore;

pub use self::file::Error as FileError;
pub use self::http::Error as HttpError;
pub use self::tag::Tag;
use crate::budget::{Budget, Reservation};
use crate::error::{Cause, Class, Failure, Step};
use crate::s3::Object;
pub use crate::s3::{Caller, Error as S3Error};
use crate::secret::Secret;
use crate::server::{AllowedUrl, Source};
use crate::uri::{self, Uri};

/// A server that does not take the connection within this time is down or far behind a firewall.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// No byte for so long means that none will come. Shorter than any sensible limit for a whole document, so that a dead
/// connection gives its place to another document early.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Room that a document gets at first, in bytes: most are smaller, and four hundred of these fit the usual budget.
pub const EXPECTED_BYTES: u64 = 128 * 1024;
/// A document of unknown size that has filled its room gets so many times as much: nothing but what came says
/// how large it is. The price is that it is downloaded several times, of which all but the last are a third
/// more than its size at most.
const GROWTH: u64 = 4;

/// What may be loaded, and how much patience it gets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Greatest size of a document, in bytes.
    pub max_document_bytes: u64,
    /// Time for one document, from the first credential to the last byte.
    pub timeout: Duration,
    /// `http://` and `https://` may be read (`ai.allow_http`).
    pub http_enabled: bool,
    /// So may addresses that are not on the public internet (`ai.allow_private_addresses`).
    pub allow_private: bool,
    /// Files below these directories may be read (`ai.file_directories`). None: no file.
    pub file_directories: Vec<PathBuf>,
    /// Sent with each request to assume a role.
    pub external_id: Option<Secret>,
    /// What foreign servers say beyond that.
    pub servers: Servers,
}

/// What foreign servers say about the places of documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    /// Of `s3://`.
    pub s3: Gate,
    /// Of `http://` and `https://`.
    pub http: Gate,
    /// Of files.
    pub file: Gate,
}

/// What a foreign server says about the documents of one scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They may be loaded, as it says.
    Open(Source),
    /// They may not.
    Closed {
        /// Why, for people.
        reason: String,
        /// What would help.
        hint: Option<String>,
    },
}

impl Default for Gate {
    fn default() -> Gate {
        Gate::Open(Source::default())
    }
}

impl Gate {
    fn source(&self) -> Result<&Source, Error> {
        match self {
            Gate::Open(source) => Ok(source),
            Gate::Closed { reason, hint } => Err(Error::Forbidden {
                reason: reason.clone(),
                hint: hint.clone(),
            }),
        }
    }

    /// Refuses a place that is not allowed.
    fn check(&self, location: &str, is_at: impl Fn(&AllowedUrl) -> bool) -> Result<&Source, Error> {
        let source = self.source()?;
        match &source.allowed_urls {
            Some(allowed) if !allowed.iter().any(is_at) => Err(Error::NotAllowed {
                location: location.to_owned(),
            }),
            _ => Ok(source),
        }
    }
}

/// What was behind a URI.
#[derive(Clone, Debug)]
pub struct Document {
    /// The content, as it was before a `Content-Encoding`.
    pub bytes: Bytes,
    /// Last segment of the path.
    pub name: Option<String>,
    /// The `Content-Type` of S3 or the web server, as sent, parameters included.
    pub media_type: Option<String>,
    /// What spares the next download, where the other side says enough about the document.
    pub tag: Option<Tag>,
}

/// What a second look at a URI has found.
#[derive(Clone, Debug)]
pub enum Loaded {
    /// The document that the tag was of. Nothing was downloaded.
    Unchanged,
    /// The document, whole. It may still be the same: not every server can tell.
    Document(Document),
    /// It has more bytes than there was room for.
    Larger {
        /// Its size, where it was announced.
        size: Option<u64>,
    },
}

/// Loads documents. Clones share connections and credentials.
#[derive(Clone)]
pub struct Loader(Arc<Inner>);

struct Inner {
    settings: Settings,
    s3: s3::Loader,
    http: http::Loader,
}

impl Loader {
    /// A loader that finds AWS credentials, region and endpoint as the SDK does: environment, shared files, web
    /// identity, container, instance metadata. Nothing is looked up before the first `s3://` document.
    pub fn new(settings: Settings) -> Loader {
        let s3 = s3::Loader::ambient(settings.external_id.clone(), settings.servers.s3.source().ok());
        Loader::assemble(settings, s3)
    }

    /// A loader for this AWS configuration; one without a credentials provider sends unsigned requests.
    pub fn with_aws(settings: Settings, aws: SdkConfig) -> Loader {
        let s3 = s3::Loader::configured(aws, settings.external_id.clone(), settings.servers.s3.source().ok());
        Loader::assemble(settings, s3)
    }

    fn assemble(settings: Settings, s3: s3::Loader) -> Loader {
        let says_private = settings.servers.http.source().is_ok_and(|source| source.allow_private);
        let http = http::Loader::new(settings.allow_private || says_private);
        Loader(Arc::new(Inner { settings, s3, http }))
    }

    /// Fetches one document. Must run in a tokio runtime with I/O and time.
    ///
    /// `role_arn` is the IAM role assumed for `s3://` documents; it changes nothing for others.
    ///
    /// # Errors
    ///
    /// [`Error`], after at most [`Settings::timeout`].
    pub async fn load(&self, uri: &str, role_arn: Option<&str>) -> Result<Document, Error> {
        match self.load_if_changed(uri, role_arn, None, u64::MAX).await? {
            Loaded::Document(document) => Ok(document),
            Loaded::Unchanged | Loaded::Larger { .. } => unreachable!("there is no tag, and room for all"),
        }
    }

    /// The same within a budget: memory for the document, and for `cost` times its size in all, is reserved
    /// before it is downloaded. A document of which a download shows that it needs more is asked for again
    /// when there is room.
    ///
    /// At most so many documents are downloaded at a time as there are `places`. One that waits for more
    /// memory than most need has none of them: it may wait long.
    ///
    /// The reservation is for what the document is turned into, and is to be kept with that; a small document
    /// has that of [`EXPECTED_BYTES`], as it may have more text than bytes. `None` when it is the one that
    /// `known` is the tag of.
    ///
    /// # Errors
    ///
    /// As [`Loader::load`]. The wait for memory is not counted.
    pub async fn load_within(
        &self,
        budget: &Budget,
        cost: u64,
        places: &Semaphore,
        uri: &str,
        role_arn: Option<&str>,
        known: Option<&Tag>,
    ) -> Result<Option<(Document, Reservation)>, Error> {
        let place = async || places.acquire().await.expect("the semaphore is never closed");
        let most = self.0.settings.max_document_bytes;
        let mut room = EXPECTED_BYTES;
        // Documents that wait for their first download are many, and should have no memory yet.
        let mut first = Some(place().await);
        loop {
            let mut reservation = budget.reserve(room.saturating_mul(cost)).await;
            let _place = match first.take() {
                Some(place) => place,
                None => place().await,
            };
            match self.load_if_changed(uri, role_arn, known, room).await? {
                Loaded::Unchanged => return Ok(None),
                Loaded::Document(document) => {
                    let size = (document.bytes.len() as u64).max(EXPECTED_BYTES);
                    reservation.shrink(cost.saturating_mul(size));
                    return Ok(Some((document, reservation)));
                }
                // A size is believed once: what announces a little more each time would be asked for ever.
                Loaded::Larger { size: Some(size) } if room == EXPECTED_BYTES => room = size,
                Loaded::Larger { .. } => room = room.saturating_mul(GROWTH).min(most),
            }
        }
    }

    /// Fetches a document if it is not the one that `known` is the tag of. S3 and the web are asked by a
    /// conditional GET (`If-None-Match`); of a file, size, times and inode are compared. What may be read,
    /// and by whom, is checked as if the document were fetched. Of a document with more than `room` bytes no
    /// more is fetched than shows that.
    ///
    /// # Errors
    ///
    /// As [`Loader::load`].
    pub async fn load_if_changed(
        &self,
        uri: &str,
        role_arn: Option<&str>,
        known: Option<&Tag>,
        room: u64,
    ) -> Result<Loaded, Error> {
        let uri = Uri::parse(uri)?;
        let Inner { settings, s3, http } = &*self.0;
        let most = settings.max_document_bytes;
        let limit = room.min(most);
        let loading = async {
            match &uri {
                Uri::S3 {
                    bucket,
                    key,
                    version_id,
                } => {
                    let Servers { s3: gate, .. } = &settings.servers;
                    gate.check(&uri.to_string(), |allowed| allowed.has_object(bucket, key))?;
                    let object = Object {
                        bucket,
                        key,
                        version_id: version_id.as_deref(),
                    };
                    s3.load(object, role_arn, known, limit, &uri.to_string()).await
                }
                Uri::Http(url) => {
                    let gate = &settings.servers.http;
                    if gate.source()?.allowed_urls.is_none() && !settings.http_enabled {
                        return Err(HttpError::Closed.into());
                    }
                    // Also where a redirect leads.
                    let check = |url: &url::Url| {
                        let location = uri::without_query(url);
                        gate.check(&location, |allowed| allowed.has_address(url)).map(drop)
                    };
                    http.load(url, &check, known, limit).await
                }
                Uri::File(path) => match &settings.servers.file.source()?.allowed_urls {
                    None => file::load(path, &settings.file_directories, known, limit).await,
                    Some(allowed) => {
                        let directory = |url: &AllowedUrl| match url {
                            AllowedUrl::File(path) => Some(path.clone()),
                            AllowedUrl::S3 { .. } | AllowedUrl::Http(_) => None,
                        };
                        let directories: Vec<PathBuf> = allowed.iter().filter_map(directory).collect();
                        file::load(path, &directories, known, limit).await
                    }
                },
            }
        };
        let loaded = tokio::time::timeout(settings.timeout, loading)
            .await
            .map_err(|_| Error::TimedOut {
                location: uri.to_string(),
                seconds: settings.timeout.as_secs_f64(),
            })?;
        let mut loaded = match loaded {
            Err(Error::TooLarge { size, .. }) if limit < most && size.is_none_or(|size| size <= most) => {
                Loaded::Larger { size }
            }
            Err(Error::TooLarge { location, size, .. }) => {
                let limit = most;
                return Err(Error::TooLarge { location, size, limit });
            }
            loaded => loaded?,
        };
        if let Loaded::Document(document) = &mut loaded {
            document.name = uri.name();
        }
        Ok(loaded)
    }
}

/// Reads a body to its end, or to the cap. `declared` is the length that the other side announced, in bytes.
async fn collect<E: std::error::Error + Send + Sync + 'static>(
    body: impl Stream<Item = Result<Bytes, E>>,
    declared: Option<u64>,
    limit: u64,
    location: &str,
) -> Result<Bytes, Error> {
    let too_large = |size| Error::TooLarge {
        location: location.to_string(),
        size,
        limit,
    };
    if let Some(size) = declared
        && size > limit
    {
        return Err(too_large(Some(size)));
    }
    let mut body = std::pin::pin!(body);
    let mut bytes = BytesMut::with_capacity(declared.and_then(|size| usize::try_from(size).ok()).unwrap_or(0));
    loop {
        let next = tokio::time::timeout(STALL_TIMEOUT, body.next()).await;
        let stalled = || Error::TimedOut {
            location: location.to_string(),
            seconds: STALL_TIMEOUT.as_secs_f64(),
        };
        match next.map_err(|_| stalled())? {
            None => return Ok(bytes.freeze()),
            Some(Ok(part)) if bytes.len() as u64 + part.len() as u64 > limit => return Err(too_large(None)),
            Some(Ok(part)) => bytes.extend_from_slice(&part),
            Some(Err(error)) => {
                return Err(Error::Interrupted {
                    location: location.to_string(),
                    cause: Cause::new(error),
                });
            }
        }
    }
}

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
    /// Above [`Settings::max_document_bytes`].
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(sizes: &[usize]) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
        futures_util::stream::iter(
            sizes
                .iter()
                .map(|&n| Ok(Bytes::from(vec![b'x'; n])))
                .collect::<Vec<_>>(),
        )
    }

    #[tokio::test]
    async fn the_cap_is_a_size_that_still_passes() {
        let body = collect(parts(&[4, 6]), None, 10, "here").await.unwrap();
        assert_eq!(body.len(), 10);
        let error = collect(parts(&[4, 6, 1]), None, 10, "here").await.unwrap_err();
        assert_eq!(error.to_string(), "document here is larger than 10 bytes");
        let error = collect(parts(&[]), Some(11), 10, "here").await.unwrap_err();
        assert_eq!(error.to_string(), "document here is larger than 10 bytes: it has 11");
        assert_eq!(error.class(), Class::Permanent);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_document() {
        let body = futures_util::stream::iter([
            Ok(Bytes::from_static(b"half")),
            Err(std::io::Error::new(
                std::io::ErrorKind::ConnectionReset,
                "connection reset",
            )),
        ]);
        let error = collect(body, None, 100, "here").await.unwrap_err();
        assert_eq!(error.to_string(), "document here broke off: connection reset");
        assert_eq!(error.class(), Class::Transient);
    }
}
