//! What S3 and STS answer instead of a document, in words for those who have to mend it.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_config::Region;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;

use crate::error::{Cause, Class};
use crate::retry_after;
use crate::secret::masked;

/// Codes by which S3 and STS say that a token ran out.
pub(super) const EXPIRED: [&str; 3] = ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"];

/// Longest message of AWS that is passed on, in characters. Behind a reason, STS adds kilobytes of
/// encoded policies.
const GREATEST_MESSAGE: usize = 300;

/// Codes by which AWS asks for patience.
const THROTTLED: [&str; 8] = [
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "TooManyRequests",
    "TooManyRequestsException",
];

/// Codes that blame the credentials or the clock, so every document alike.
const IDENTITY: [&str; 8] = [
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "AuthorizationHeaderMalformed",
    "RequestTimeTooSkewed",
    "NotSignedUp",
];

/// Codes that blame the object, beside the statuses 403, 404 and 410.
const OBJECT: [&str; 10] = [
    "NoSuchKey",
    "NoSuchBucket",
    "NoSuchVersion",
    "AccessDenied",
    "InvalidBucketName",
    "InvalidObjectState",
    "InvalidArgument",
    "InvalidURI",
    "KeyTooLongError",
    "MethodNotAllowed",
];

/// Codes that are over by themselves.
const PASSING: [&str; 4] = [
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "TemporaryRedirect",
];

/// Who asked, as far as a message may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// No credentials were found, the request was not signed.
    Nobody,
    /// The last four characters of the access key id.
    Key(String),
    /// The ARN of the assumed role.
    Role(String),
}

impl Caller {
    pub(super) fn key(access_key_id: &str) -> Caller {
        let skipped = access_key_id.chars().count().saturating_sub(4);
        Caller::Key(access_key_id.chars().skip(skipped).collect())
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::Nobody => f.write_str("no one: no AWS credentials were found, so the request was not signed"),
            Caller::Key(end) => write!(f, "access key ...{end}"),
            Caller::Role(arn) => write!(f, "role {arn}"),
        }
    }
}

/// Why an object was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// S3 said no. The text begins as pgai's does.
    #[error(
        "unable to access bucket: '{bucket}' key: '{key}' version: {} error: An error occurred ({code}) when calling the \
         GetObject operation: {message} (asked as {caller}{})",
        version.as_deref().unwrap_or("None"),
        elsewhere.as_deref().map(|region| format!(" in region {region}")).unwrap_or_default()
    )]
    Refused {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// The version, where the URI names one.
        version: Option<String>,
        /// S3's error code, or the HTTP status where it gave none.
        code: String,
        /// S3's words.
        message: String,
        /// The HTTP status.
        status: u16,
        /// How long to wait, where S3 says so.
        retry_after: Option<Duration>,
        /// The region of the bucket, where it is not the one of the configuration.
        elsewhere: Option<String>,
        /// Who asked.
        caller: Caller,
    },
    /// No connection to S3, or none that lasted.
    #[error("unable to access bucket: '{bucket}' key: '{key}': S3 cannot be reached: {cause}")]
    Unreachable {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// What the connection said.
        #[source]
        cause: Cause,
    },
    /// The request could not even be made, for example because the endpoint is no URL.
    #[error("unable to access bucket: '{bucket}' key: '{key}': no request can be made: {cause}")]
    Unsendable {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// What the SDK said.
        #[source]
        cause: Cause,
    },
    /// A source of credentials is there and failed.
    #[error("the AWS credentials of the server cannot be read: {cause}")]
    Credentials {
        /// What the SDK said.
        #[source]
        cause: Cause,
        /// It may work the next time.
        passing: bool,
    },
    /// A value of the environment, or of what issues credentials, that can be in no request.
    #[error("{what} is empty, or holds characters that cannot be sent, perhaps a line break or a space")]
    Unfit {
        /// Which one.
        what: String,
    },
    /// A variable of the environment, or a file that it names, that is there and cannot be used.
    #[error("{what} {fault}")]
    Environment {
        /// Which one, without what it holds.
        what: String,
        /// What is wrong.
        fault: String,
    },
    /// The certificates of the authorities that are to be trusted are not there.
    #[error("the certificates of AWS_CA_BUNDLE ({path}) cannot be used: {cause}")]
    Authorities {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        cause: Cause,
    },
    /// A role cannot be assumed by nobody.
    #[error("role {role} cannot be assumed: no AWS credentials were found")]
    NoCredentials {
        /// The role.
        role: String,
    },
    /// STS said no.
    #[error(
        "role {role} cannot be assumed: An error occurred ({code}) when calling the AssumeRole operation: {message} \
         (asked as {caller})"
    )]
    Role {
        /// The role.
        role: String,
        /// STS's error code, or the HTTP status where it gave none.
        code: String,
        /// STS's words.
        message: String,
        /// The HTTP status.
        status: u16,
        /// How long to wait, where STS says so.
        retry_after: Option<Duration>,
        /// Who asked.
        caller: Caller,
    },
    /// No connection to STS, or none that lasted.
    #[error("role {role} cannot be assumed: STS cannot be reached: {cause}")]
    RoleUnreachable {
        /// The role.
        role: String,
        /// What the connection said.
        #[source]
        cause: Cause,
    },
}

impl Error {
    /// What follows from it.
    pub fn class(&self) -> Class {
        match self {
            // A bucket that a row names is in a region where this account is not enabled: no fault
            // of the credentials.
            Error::Refused {
                code,
                elsewhere: Some(_),
                ..
            } if IDENTITY.contains(&code.as_str()) => Class::Permanent,
            Error::Refused {
                code,
                status,
                retry_after,
                ..
            } => class_of_refusal(code, *status, *retry_after),
            Error::Role {
                code,
                status,
                retry_after,
                ..
            } => match class_of_refusal(code, *status, *retry_after) {
                class @ (Class::Transient | Class::Throttled { .. }) => class,
                Class::Configuration | Class::Permanent | Class::Unknown => Class::Configuration,
            },
            Error::Unreachable { .. } | Error::RoleUnreachable { .. } => Class::Transient,
            Error::Credentials { passing: true, .. } => Class::Transient,
            Error::Credentials { passing: false, .. } => Class::Configuration,
            Error::NoCredentials { .. }
            | Error::Unfit { .. }
            | Error::Environment { .. }
            | Error::Authorities { .. } => Class::Configuration,
            // Either the settings or the bucket's name may be at fault, and one row must not stop
            // all others.
            Error::Unsendable { .. } => Class::Unknown,
        }
    }

    /// What to check or change.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Refused {
                code,
                elsewhere: Some(region),
                ..
            } if IDENTITY.contains(&code.as_str()) => Some(format!(
                "check that region {region} is enabled for the account, and that STS is asked in a region (AWS_REGION)"
            )),
            Error::Refused {
                code,
                status,
                bucket,
                key,
                version,
                caller,
                ..
            } => hint_of_refusal(code, *status, bucket, key, version.is_some(), caller),
            Error::Role { code, caller, .. } => Some(match code.as_str() {
                "AccessDenied" => format!(
                    "check that {caller} may sts:AssumeRole on the role, and that the role's trust policy names that \
                     caller and the external id that the server sends"
                ),
                code if IDENTITY.contains(&code) || EXPIRED.contains(&code) => check_credentials(caller),
                _ => "check the ARN of the role and the region of STS (AWS_REGION)".to_owned(),
            }),
            Error::NoCredentials { .. } | Error::Unfit { .. } => Some(where_credentials_are_looked_for()),
            Error::Environment { .. } => Some(
                "correct it in the environment that starts Postgres, or the file, and restart the server".to_owned(),
            ),
            Error::Authorities { .. } => Some(
                "AWS_CA_BUNDLE names a file of certificates in PEM that the user of the Postgres server can read"
                    .to_owned(),
            ),
            Error::Credentials { .. } => Some(format!("mend it or remove it; {}", where_credentials_are_looked_for())),
            Error::Unsendable { .. } => Some("check AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3 and AWS_REGION".to_owned()),
            Error::Unreachable { .. } | Error::RoleUnreachable { .. } => {
                Some("check AWS_REGION and AWS_ENDPOINT_URL in the environment of the Postgres server".to_owned())
            }
        }
    }
}

fn class_of_refusal(code: &str, status: u16, retry_after: Option<Duration>) -> Class {
    if status == 429 || THROTTLED.contains(&code) {
        return Class::Throttled { retry_after };
    }
    if status >= 500 || PASSING.contains(&code) {
        return Class::Transient;
    }
    if IDENTITY.contains(&code) || EXPIRED.contains(&code) {
        return Class::Configuration;
    }
    if OBJECT.contains(&code) || matches!(status, 403 | 404 | 410) {
        return Class::Permanent;
    }
    Class::Unknown
}

fn hint_of_refusal(
    code: &str,
    status: u16,
    bucket: &str,
    key: &str,
    versioned: bool,
    caller: &Caller,
) -> Option<String> {
    let action = if versioned {
        "s3:GetObjectVersion"
    } else {
        "s3:GetObject"
    };
    let partition = match caller {
        Caller::Role(arn) => arn.split(':').nth(1).unwrap_or("aws"),
        Caller::Nobody | Caller::Key(_) => "aws",
    };
    match code {
        "NoSuchKey" => {
            Some("the key is everything after `s3://bucket/`, literally: check capitals and %-signs".to_owned())
        }
        "NoSuchBucket" => {
            Some("check the name of the bucket, and AWS_ENDPOINT_URL where a server of its own is used".to_owned())
        }
        "NoSuchVersion" => Some("the version was deleted, or the `?versionId=` is of another object".to_owned()),
        "InvalidObjectState" => Some("the object is archived: restore it from Glacier first".to_owned()),
        "PermanentRedirect" | "AuthorizationHeaderMalformed" => {
            Some("the bucket is in another region: set AWS_REGION in the environment of the Postgres server".to_owned())
        }
        code if IDENTITY.contains(&code) || EXPIRED.contains(&code) => Some(check_credentials(caller)),
        _ if status == 403 => Some(match caller {
            Caller::Nobody => format!(
                "an object that is not public needs credentials; {}",
                where_credentials_are_looked_for()
            ),
            Caller::Key(_) | Caller::Role(_) => format!(
                "check that {caller} is allowed {action} on arn:{partition}:s3:::{bucket}/{key} (and kms:Decrypt, if it is \
                 encrypted with a KMS key); without s3:ListBucket a missing key looks the same, and so does a bucket whose \
                 requester pays: that takes a foreign server with the option request_payer 'requester'"
            ),
        }),
        _ => None,
    }
}

fn where_credentials_are_looked_for() -> String {
    "credentials are looked for in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment of the Postgres server, \
     ~/.aws of its operating system user, a web identity token, the container's and the instance's role"
        .to_owned()
}

fn check_credentials(caller: &Caller) -> String {
    match caller {
        Caller::Role(_) => "check the role, and the clock of the server".to_owned(),
        Caller::Nobody | Caller::Key(_) => {
            "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN in the \
             environment of the Postgres server (or ~/.aws of its operating system user), and its clock"
                .to_owned()
        }
    }
}

/// STS's answer in our words, without `secrets`.
pub(super) fn of_role(arn: &str, refusal: SdkError<AssumeRoleError>, caller: Caller, secrets: &[&str]) -> Error {
    let role = arn.to_owned();
    match AwsError::of(&refusal, secrets) {
        Some(AwsError {
            code,
            message,
            status,
            retry_after,
        }) => Error::Role {
            role,
            code,
            message,
            status,
            retry_after,
            caller,
        },
        None => Error::RoleUnreachable {
            role,
            cause: Cause::new(refusal),
        },
    }
}

/// A source of credentials that is there and failed. Where STS refused a web identity or the role
/// of a profile, trying again is of no use.
pub(super) fn of_provider(failure: CredentialsError) -> Error {
    let mut refused = matches!(failure, CredentialsError::InvalidConfiguration(_));
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&failure);
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<Error>() {
            return error.clone();
        }
        refused |= inner.is::<AssumeRoleError>() || inner.is::<AssumeRoleWithWebIdentityError>();
        cause = inner.source();
    }
    Error::Credentials {
        cause: Cause::new(failure),
        passing: !refused,
    }
}

/// What an AWS service says with an error.
pub(super) struct AwsError {
    pub code: String,
    pub message: String,
    pub status: u16,
    pub retry_after: Option<Duration>,
}

impl AwsError {
    /// Without `secrets`, which servers that are not AWS may repeat. `None` when there was no
    /// answer at all.
    pub fn of<E>(refusal: &SdkError<E, HttpResponse>, secrets: &[&str]) -> Option<AwsError>
    where
        E: ProvideErrorMetadata,
    {
        let response = refusal.raw_response()?;
        let status = response.status().as_u16();
        let code = refusal.code().map_or_else(|| status.to_string(), str::to_owned);
        let message = refusal.message().unwrap_or("the answer gives no reason");
        // Cut last, or half of a secret might be left at the end.
        let message = masked(message, secrets).chars().take(GREATEST_MESSAGE).collect();
        let retry_after = retry_after::told(|name| response.headers().get(name), SystemTime::now());
        Some(AwsError {
            code,
            message,
            status,
            retry_after,
        })
    }
}

/// Whether the token ran out.
pub(super) fn is_expired<E: ProvideErrorMetadata>(refusal: &SdkError<E, HttpResponse>) -> bool {
    refusal.code().is_some_and(|code| EXPIRED.contains(&code))
}

/// The region where the bucket is, when the answer says that it is not the one asked.
///
/// S3 names it in the header `x-amz-bucket-region` of a redirect, or in the body of a signature's
/// refusal.
pub(super) fn other_region<E>(refusal: &SdkError<E, HttpResponse>, asked: &Region) -> Option<Region>
where
    E: ProvideErrorMetadata,
{
    let response = refusal.raw_response()?;
    let misdirected = matches!(response.status().as_u16(), 301 | 302 | 307 | 308)
        || matches!(
            refusal.code(),
            Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")
        );
    if !misdirected {
        return None;
    }
    let in_body = || {
        let body = std::str::from_utf8(response.body().bytes()?).ok()?;
        Some(body.split_once("<Region>")?.1.split_once("</Region>")?.0)
    };
    let region = response.headers().get("x-amz-bucket-region").or_else(in_body)?;
    // It becomes part of a host name.
    let is_name = !region.is_empty()
        && region
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    (is_name && region != asked.as_ref()).then(|| Region::new(region.to_owned()))
}
