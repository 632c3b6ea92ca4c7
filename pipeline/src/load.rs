//! A URI to the bytes behind it.
//!
//! One document at a time, whole, in memory, below a cap; no retries, because the queue does those. What is open to be
//! read is the administrator's choice ([`LoadSettings`]): S3 always, the web and the server's files only on request.

mod body;
mod document;
mod encoding;
mod error;
mod file;
mod http;
mod s3;
mod tag;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use tokio::sync::Semaphore;

pub use self::document::{Document, Loaded};
pub use self::error::Error;
pub use self::file::Error as FileError;
pub use self::http::Error as HttpError;
pub use self::tag::Tag;
use crate::budget::{Budget, Reservation};
use crate::s3::S3Object;
pub use crate::s3::{Caller, Error as S3Error};
use crate::secret::Secret;
use crate::server::{AllowedUrl, DocumentOptions};
use crate::uri::{self, Uri};

/// Room that a document gets at first, in bytes: most are smaller, and four hundred of these fit the usual budget.
pub const EXPECTED_BYTES: u64 = 128 * 1024;
/// A document of unknown size that has filled its room gets so many times as much: nothing but what came says
/// how large it is. The price is that it is downloaded several times, of which all but the last are a third
/// more than its size at most.
const GROWTH: u64 = 4;

/// What may be loaded, and how much patience it gets.
#[derive(Clone, Debug)]
pub struct LoadSettings {
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
    pub servers: DocumentServers,
}

/// What foreign servers say about the places of documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentServers {
    /// Of `s3://`.
    pub s3: Permission,
    /// Of `http://` and `https://`.
    pub http: Permission,
    /// Of files.
    pub file: Permission,
}

/// What a foreign server says about the documents of one scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// They may be loaded, as it says.
    Open(DocumentOptions),
    /// They may not.
    Closed {
        /// Why, for people.
        reason: String,
        /// What would help.
        hint: Option<String>,
    },
}

impl Default for Permission {
    fn default() -> Permission {
        Permission::Open(DocumentOptions::default())
    }
}

impl Permission {
    fn source(&self) -> Result<&DocumentOptions, Error> {
        match self {
            Permission::Open(source) => Ok(source),
            Permission::Closed { reason, hint } => Err(Error::Forbidden {
                reason: reason.clone(),
                hint: hint.clone(),
            }),
        }
    }

    /// Refuses a place that is not allowed.
    fn check(&self, location: &str, is_at: impl Fn(&AllowedUrl) -> bool) -> Result<&DocumentOptions, Error> {
        let source = self.source()?;
        match &source.allowed_urls {
            Some(allowed) if !allowed.iter().any(is_at) => Err(Error::NotAllowed {
                location: location.to_owned(),
            }),
            _ => Ok(source),
        }
    }
}

/// Loads documents. Clones share connections and credentials.
#[derive(Clone)]
pub struct Loader(Arc<LoaderState>);

struct LoaderState {
    settings: LoadSettings,
    s3: s3::S3Loader,
    http: http::WebLoader,
}

impl Loader {
    /// A loader that finds AWS credentials, region and endpoint as the SDK does: environment, shared files, web
    /// identity, container, instance metadata. Nothing is looked up before the first `s3://` document.
    pub fn new(settings: LoadSettings) -> Loader {
        let s3 = s3::S3Loader::ambient(settings.external_id.clone(), settings.servers.s3.source().ok());
        Loader::assemble(settings, s3)
    }

    /// A loader for this AWS configuration; one without a credentials provider sends unsigned requests.
    pub fn with_aws(settings: LoadSettings, aws: SdkConfig) -> Loader {
        let s3 = s3::S3Loader::configured(aws, settings.external_id.clone(), settings.servers.s3.source().ok());
        Loader::assemble(settings, s3)
    }

    fn assemble(settings: LoadSettings, s3: s3::S3Loader) -> Loader {
        let says_private = settings.servers.http.source().is_ok_and(|source| source.allow_private);
        let http = http::WebLoader::new(settings.allow_private || says_private);
        Loader(Arc::new(LoaderState { settings, s3, http }))
    }

    /// Fetches one document. Must run in a tokio runtime with I/O and time.
    ///
    /// `role_arn` is the IAM role assumed for `s3://` documents; it changes nothing for others.
    ///
    /// # Errors
    ///
    /// [`Error`], after at most [`LoadSettings::timeout`].
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
        let LoaderState { settings, .. } = &*self.0;
        let most = settings.max_document_bytes;
        let limit = room.min(most);
        let loading = self.fetch(&uri, role_arn, known, limit);
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

    /// One look at a place that may be read.
    async fn fetch(&self, uri: &Uri, role_arn: Option<&str>, known: Option<&Tag>, limit: u64) -> Result<Loaded, Error> {
        let LoaderState { settings, s3, http } = &*self.0;
        match uri {
            Uri::S3 {
                bucket,
                key,
                version_id,
            } => {
                let DocumentServers { s3: gate, .. } = &settings.servers;
                gate.check(&uri.to_string(), |allowed| allowed.has_object(bucket, key))?;
                let object = S3Object {
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
    }
}
