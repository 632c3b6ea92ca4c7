//! Objects of S3, and of whatever speaks its protocol.

use aws_config::SdkConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sdk_s3::types::RequestPayer;

use super::body::{CONNECT_TIMEOUT, STALL_TIMEOUT, collect};
use super::document::{Document, Loaded};
use super::tag::Tag;
use super::{encoding, error};
use crate::s3::{Error, S3Object, S3Session, of_object};
use crate::secret::Secret;
use crate::server::DocumentOptions;

/// Fetches objects.
pub(super) struct S3Loader(S3Session);

type Forbidden = SdkError<GetObjectError>;

impl S3Loader {
    /// Finds its configuration in the environment of the process, at the first use.
    pub(super) fn ambient(external_id: Option<Secret>, server: Option<&DocumentOptions>) -> S3Loader {
        S3Loader(S3Session::ambient(external_id, server, timeouts()))
    }

    /// Uses this configuration.
    pub(super) fn configured(
        base: SdkConfig,
        external_id: Option<Secret>,
        server: Option<&DocumentOptions>,
    ) -> S3Loader {
        S3Loader(S3Session::configured(base, external_id, server, timeouts()))
    }

    /// One object of at most `limit` bytes, if it is not the one that `known` is the tag of.
    /// Messages call it `location`.
    pub(super) async fn load(
        &self,
        object: S3Object<'_>,
        role: Option<&str>,
        known: Option<&Tag>,
        limit: u64,
        location: &str,
    ) -> Result<Loaded, error::Error> {
        let Some(output) = self.get(object, role, known).await? else {
            return Ok(Loaded::Unchanged);
        };
        let declared = output.content_length().and_then(|length| u64::try_from(length).ok());
        let modified = output.last_modified().map(DateTime::secs);
        let tag = output.e_tag().and_then(|etag| Tag::of_entity(etag, modified));
        let (media_type, encodings) = (output.content_type, output.content_encoding);
        let parts = futures_util::stream::unfold(output.body, |mut body| async move {
            let part = body.next().await?;
            Some((part, body))
        });
        let bytes = collect(parts, declared, limit, location).await?;
        let bytes = encoding::undo(bytes, encodings.as_deref(), limit, location).await?;
        Ok(Loaded::Document(Document {
            bytes,
            name: None,
            media_type,
            tag,
        }))
    }

    /// Asks for the object. `None` when it is the known one.
    async fn get(
        &self,
        object: S3Object<'_>,
        role: Option<&str>,
        mut known: Option<&Tag>,
    ) -> Result<Option<GetObjectOutput>, Error> {
        let payer = self.0.requester_pays().then_some(RequestPayer::Requester);
        loop {
            let etag = known.and_then(Tag::etag);
            let answer = self.0.ask(object.bucket, role, |client| {
                let request = client.get_object().bucket(object.bucket).key(object.key);
                request
                    .set_version_id(object.version_id.map(str::to_owned))
                    .set_if_none_match(etag.map(str::to_owned))
                    .set_request_payer(payer.clone())
                    .send()
            });
            let refused = match answer.await? {
                Ok(output) => return Ok(Some(output)),
                Err(refused) => refused,
            };
            match (known, not_modified(&refused.refusal)) {
                (Some(tag), Some(answer)) if answer.is_of(tag) => return Ok(None),
                // It is another object of the same bytes.
                (Some(_), Some(_)) => known = None,
                _ => return Err(of_object(object, refused)),
            }
        }
    }
}

/// The answer 304, which the SDK takes for an error.
struct NotModified {
    /// When the object was stored, in seconds since 1970.
    modified: Option<i64>,
}

impl NotModified {
    /// Whether it is the object of the tag, and not another one of the same bytes.
    fn is_of(&self, tag: &Tag) -> bool {
        match (self.modified, tag.modified()) {
            (Some(now), Some(then)) => now == then,
            // Not every server says it.
            (None, _) | (_, None) => true,
        }
    }
}

/// Whether S3 says that the object is still the one of `If-None-Match`.
fn not_modified(refusal: &Forbidden) -> Option<NotModified> {
    let response = refusal
        .raw_response()
        .filter(|response| response.status().as_u16() == 304)?;
    let modified = response.headers().get("last-modified");
    let modified = modified.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
    Some(NotModified {
        modified: modified.as_ref().map(DateTime::secs),
    })
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(STALL_TIMEOUT)
        .build()
}
