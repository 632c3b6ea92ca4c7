//! Who asks: the credentials of the server's environment, or of a role assumed with them.
//!
//! Kept here and not in the SDK's cache, for three things that it does not do: one look-up serves
//! all who wait for it even when it fails, "there are none" is an answer, and a token that S3 calls
//! expired can be thrown away.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_s3::config::SharedHttpClient;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::{self, Caller, Error};
use super::{authorities, variables};
use crate::error::Cause;
use crate::secret::Secret;

/// The region of a request when nothing names one: S3's own default.
pub(super) const DEFAULT_REGION: &str = "us-east-1";

/// The name under which CloudTrail shows what was done with an assumed role.
const SESSION_NAME: &str = "pg-ai";
/// Credentials are replaced this long before they end, so that none runs out on the way.
const REFRESH_BEFORE_EXPIRY: Duration = Duration::from_secs(5 * 60);
/// Long-term keys are read again this often: the file may have changed.
const LONG_TERM: Duration = Duration::from_secs(15 * 60);
/// "No credentials" is believed this long. Finding out costs two seconds where there is no metadata
/// service.
const NONE_FOUND: Duration = Duration::from_secs(60);
/// A refusal is believed this long: hundreds of documents may wait for the same role.
const REFUSED: Duration = Duration::from_secs(10);
/// Time for the instance metadata service to take a connection, and to answer: it is on the same
/// host. Where there is none, packets often vanish, and a user without credentials waits for this.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// What a request is signed with.
#[derive(Clone, Debug)]
pub(super) enum Credential {
    Some(Credentials),
    /// The server has none: the request goes out unsigned. Never for a role.
    None,
}

impl Credential {
    /// What no message may show.
    pub(super) fn secrets(&self) -> Vec<&str> {
        match self {
            Credential::Some(credentials) => {
                let token = credentials.session_token();
                [Some(credentials.secret_access_key()), token]
                    .into_iter()
                    .flatten()
                    .collect()
            }
            Credential::None => Vec::new(),
        }
    }
}

/// A source of credentials with the last answer it gave.
#[derive(Debug)]
pub(super) struct Identity {
    source: CredentialSource,
    kept: Mutex<Option<CachedCredential>>,
}

#[derive(Debug)]
struct CachedCredential {
    answer: Result<Credential, Error>,
    until: Instant,
}

enum CredentialSource {
    /// The provider of the SDK configuration, where it has one.
    Own(SdkConfig),
    /// None, because an administrator wants it so.
    Nobody,
    /// STS, asked with the credentials of `by`.
    Role {
        by: Arc<Identity>,
        sts: SdkConfig,
        arn: String,
        external_id: Option<Secret>,
        /// What the role may do for us at most.
        policy: Option<String>,
    },
}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CredentialSource::Own(_) => f.write_str("Own"),
            CredentialSource::Nobody => f.write_str("Nobody"),
            CredentialSource::Role { arn, .. } => write!(f, "Role({arn})"),
        }
    }
}

impl Identity {
    pub(super) fn own(base: &SdkConfig, anonymous: bool) -> Identity {
        Identity {
            source: if anonymous {
                CredentialSource::Nobody
            } else {
                CredentialSource::Own(base.clone())
            },
            kept: Mutex::default(),
        }
    }

    /// Of a role; `base` says how long STS is waited for.
    pub(super) fn assumed(
        base: &SdkConfig,
        by: Arc<Identity>,
        arn: &str,
        external_id: Option<Secret>,
        policy: Option<String>,
    ) -> Identity {
        let region = base.region().cloned().unwrap_or(Region::from_static(DEFAULT_REGION));
        let sts = base
            .to_builder()
            .region(region)
            .retry_config(RetryConfig::disabled())
            .build();
        Identity {
            source: CredentialSource::Role {
                by,
                sts,
                arn: arn.to_owned(),
                external_id,
                policy,
            },
            kept: Mutex::default(),
        }
    }

    /// The credentials to use now. The lock is held while they are looked up, so that all who come
    /// meanwhile share the one answer.
    pub(super) async fn credential(&self) -> Result<Credential, Error> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = &*kept
            && Instant::now() < kept.until
        {
            return kept.answer.clone();
        }
        let mut answer = self.obtain().await;
        let mut lifetime = lifetime(&answer);
        // A refresh comes early enough to be tried again while the old credentials still hold.
        if !matches!(answer, Ok(Credential::Some(_)))
            && let Some(CachedCredential {
                answer: Ok(Credential::Some(old)),
                ..
            }) = &*kept
            && old.expiry().is_some_and(|expiry| expiry > SystemTime::now())
        {
            answer = Ok(Credential::Some(old.clone()));
            lifetime = REFUSED;
        }
        *kept = Some(CachedCredential {
            answer: answer.clone(),
            until: Instant::now() + lifetime,
        });
        answer
    }

    /// Throws these credentials away, unless they have been replaced already.
    pub(super) async fn forget(&self, refused: &Credential) {
        let mut kept = self.kept.lock().await;
        if let Credential::Some(refused) = refused
            && let Some(CachedCredential {
                answer: Ok(Credential::Some(current)),
                ..
            }) = &*kept
            && current.access_key_id() == refused.access_key_id()
            && current.session_token() == refused.session_token()
        {
            *kept = None;
        }
    }

    /// How messages name who asked.
    pub(super) fn caller(&self, credential: &Credential) -> Caller {
        match (&self.source, credential) {
            (CredentialSource::Role { arn, .. }, _) => Caller::Role(arn.clone()),
            (CredentialSource::Own(_), Credential::Some(credentials)) => Caller::key(credentials.access_key_id()),
            (CredentialSource::Own(_), Credential::None) | (CredentialSource::Nobody, _) => Caller::Nobody,
        }
    }

    async fn obtain(&self) -> Result<Credential, Error> {
        match &self.source {
            CredentialSource::Own(base) => match base.credentials_provider() {
                None => Ok(Credential::None),
                Some(provider) => match provider.provide_credentials().await {
                    Ok(credentials) => fit(credentials, "the AWS credentials of the server").map_err(|error| *error),
                    Err(CredentialsError::CredentialsNotLoaded(_)) => Ok(Credential::None),
                    Err(other) => Err(error::of_provider(other)),
                },
            },
            CredentialSource::Nobody => Ok(Credential::None),
            CredentialSource::Role {
                by,
                sts,
                arn,
                external_id,
                policy,
            } => {
                let limits = (external_id.as_ref(), policy.as_deref());
                // Boxed because the type of this future contains that of the other identity's,
                // which is the same.
                let own = Box::pin(by.credential()).await?;
                match assume(sts, by, &own, arn, limits).await {
                    Err(Error::Role { code, .. }) if error::EXPIRED.contains(&code.as_str()) => {
                        by.forget(&own).await;
                        let own = Box::pin(by.credential()).await?;
                        assume(sts, by, &own, arn, limits).await
                    }
                    answer => answer,
                }
            }
        }
    }
}

async fn assume(
    sts: &SdkConfig,
    by: &Identity,
    own: &Credential,
    arn: &str,
    (external_id, policy): (Option<&Secret>, Option<&str>),
) -> Result<Credential, Error> {
    let Credential::Some(credentials) = own else {
        return Err(Error::NoCredentials { role: arn.to_owned() });
    };
    sts.region().map_or(Ok(()), check_region).map_err(|error| *error)?;
    let mut secrets = own.secrets();
    secrets.extend(external_id.map(Secret::expose));
    let config = aws_sdk_sts::config::Builder::from(sts)
        .credentials_provider(credentials.clone())
        .build();
    let output = aws_sdk_sts::Client::from_conf(config)
        .assume_role()
        .role_arn(arn)
        .role_session_name(SESSION_NAME)
        .set_external_id(external_id.map(|id| id.expose().to_owned()))
        .set_policy(policy.map(str::to_owned))
        .send()
        .await
        .map_err(|refusal| error::of_role(arn, refusal, by.caller(own), &secrets))?;
    let assumed = output.credentials.ok_or_else(|| Error::RoleUnreachable {
        role: arn.to_owned(),
        cause: Cause::said("the answer holds no credentials"),
    })?;
    let expiry = SystemTime::try_from(assumed.expiration).ok();
    let credentials = Credentials::new(
        assumed.access_key_id,
        assumed.secret_access_key,
        Some(assumed.session_token),
        expiry,
        "assumed role",
    );
    fit(credentials, "the credentials of the role").map_err(|error| *error)
}

/// Credentials without white space around them, which a file with a line break at its end leaves
/// there. The SDK panics where key id or token cannot be in the header of a request.
fn fit(credentials: Credentials, whose: &str) -> Result<Credential, Box<Error>> {
    let token = credentials.session_token().map(str::trim);
    let (id, secret) = (
        credentials.access_key_id().trim(),
        credentials.secret_access_key().trim(),
    );
    let parts = [
        ("access key id", Some(id)),
        ("secret access key", Some(secret)),
        ("session token", token),
    ];
    for (name, part) in parts {
        if part.is_some_and(|part| part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(Box::new(Error::Unfit {
                what: format!("the {name} of {whose}"),
            }));
        }
    }
    let token = token.map(str::to_owned);
    let expiry = credentials.expiry();
    Ok(Credential::Some(Credentials::new(id, secret, token, expiry, "checked")))
}

/// Checks the name of a region, which is in a header of each request, too.
pub(super) fn check_region(region: &Region) -> Result<(), Box<Error>> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || byte == b'.';
    if region.as_ref().bytes().all(plain) {
        return Ok(());
    }
    Err(Box::new(Error::Unfit {
        what: "the name of the AWS region".to_owned(),
    }))
}

/// How long an answer is used before the source is asked again.
fn lifetime(answer: &Result<Credential, Error>) -> Duration {
    match answer {
        Err(_) => REFUSED,
        Ok(Credential::None) => NONE_FOUND,
        Ok(Credential::Some(credentials)) => match credentials.expiry() {
            None => LONG_TERM,
            Some(expiry) => {
                let left = expiry.duration_since(SystemTime::now()).unwrap_or_default();
                // Half the time for those that come with little of it, or each request would ask
                // for new ones.
                left.saturating_sub(REFRESH_BEFORE_EXPIRY).max(left / 2)
            }
        },
    }
}

/// An identity as the SDK wants it.
#[derive(Debug)]
pub(super) struct SdkCredentials(pub(super) Arc<Identity>);

impl ProvideCredentials for SdkCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            match self.0.credential().await {
                Ok(Credential::Some(credentials)) => Ok(credentials),
                Ok(Credential::None) => Err(CredentialsError::not_loaded_no_source()),
                Err(error) => Err(CredentialsError::provider_error(error)),
            }
        })
    }
}

/// The configuration that the environment of the process gives.
///
/// # Errors
///
/// [`Error::Authorities`], [`Error::Environment`].
pub(super) async fn ambient() -> Result<SdkConfig, Error> {
    variables::check(std::env::vars_os()).map_err(|error| *error)?;
    let http = authorities::client().map_err(|error| *error)?;
    let metadata = imds::Client::builder()
        .connect_timeout(METADATA_TIMEOUT)
        .read_timeout(METADATA_TIMEOUT)
        .max_attempts(2)
        .build();
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(ImdsRegionProvider::builder().imds_client(metadata.clone()).build())
        .or_else(Region::from_static(DEFAULT_REGION))
        .region()
        .await;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(region.clone())
        .credentials_provider(Ambient {
            metadata,
            region,
            http: http.clone(),
        });
    if let Some(http) = http {
        loader = loader.http_client(http);
    }
    Ok(loader.load().await)
}

/// The default chain, made anew each time it is asked: one that was made keeps the shared files as
/// it first read them.
#[derive(Debug)]
struct Ambient {
    metadata: imds::Client,
    region: Option<Region>,
    /// Where STS is asked with certificates of its own.
    http: Option<SharedHttpClient>,
}

impl ProvideCredentials for Ambient {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            variables::check_secrets(std::env::vars_os())
                .map_err(|error| CredentialsError::invalid_configuration(*error))?;
            let mut chain = DefaultCredentialsChain::builder();
            if let Some(http) = &self.http {
                chain = chain.configure(ProviderConfig::default().with_http_client(http.clone()));
            }
            let chain = chain
                .imds_client(self.metadata.clone())
                .region(self.region.clone())
                .build()
                .await;
            let credentials = chain.provide_credentials().await;
            if matches!(credentials, Err(CredentialsError::CredentialsNotLoaded(_))) {
                let variable = |name: &str| std::env::var_os(name);
                variables::check_absent(variable).map_err(|error| CredentialsError::invalid_configuration(*error))?;
            }
            credentials
        })
    }
}
