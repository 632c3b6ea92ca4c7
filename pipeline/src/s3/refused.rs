//! What S3 refuses to say of an object, with all that a message about it needs.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::error::{AwsError, Caller, Error};
use super::identity::Credential;
use crate::error::Cause;

/// What S3 has said no to, and to whom.
pub(crate) struct DeniedAccess<E> {
    /// Its answer, or why there is none.
    pub refusal: SdkError<E, HttpResponse>,
    /// The region of the bucket, where it is not the one of the configuration.
    pub elsewhere: Option<String>,
    /// Who asked.
    pub caller: Caller,
    pub(super) credential: Credential,
}

impl<E> DeniedAccess<E> {
    /// What no message may show.
    pub fn secrets(&self) -> Vec<&str> {
        self.credential.secrets()
    }
}

/// One object, as a row names it.
#[derive(Clone, Copy)]
pub(crate) struct S3Object<'a> {
    pub bucket: &'a str,
    pub key: &'a str,
    pub version_id: Option<&'a str>,
}

/// S3's answer in our words.
pub(crate) fn of_object<E>(object: S3Object<'_>, refused: DeniedAccess<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let answer = AwsError::of(&refused.refusal, &refused.secrets());
    let DeniedAccess {
        refusal,
        elsewhere,
        caller,
        ..
    } = refused;
    let (bucket, key) = (object.bucket.to_owned(), object.key.to_owned());
    match &refusal {
        SdkError::ConstructionFailure(_) => Error::Unsendable {
            bucket,
            key,
            cause: Cause::new(refusal),
        },
        _ => match answer {
            Some(AwsError {
                code,
                message,
                status,
                retry_after,
            }) => Error::Refused {
                version: object.version_id.map(str::to_owned),
                bucket,
                key,
                code,
                message,
                status,
                retry_after,
                elsewhere,
                caller,
            },
            None => Error::Unreachable {
                bucket,
                key,
                cause: Cause::new(refusal),
            },
        },
    }
}
