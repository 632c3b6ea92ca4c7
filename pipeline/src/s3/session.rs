//! A session: credentials for each role, the regions of buckets, and clients for both. Endpoints,
//! and what a role may do at most, are those of the foreign server.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::{Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, IdentityCache, StalledStreamProtectionConfig};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_types::service_config::ServiceConfigKey;
use tokio::sync::OnceCell;

use super::error::{self, Error};
use super::headers;
use super::identity::{self, Credential, DEFAULT_REGION, Identity, SdkCredentials};
use super::refused::DeniedAccess;
use crate::secret::Secret;
use crate::server::{DocumentOptions, session_policy};

/// Buckets whose region is remembered; a table that names more of them costs one more request each,
/// not memory.
const GREATEST_REGIONS: usize = 10_000;

/// Asks S3. Keeps credentials per role, a client per role and region, and the regions of buckets
/// that turned out to be elsewhere.
pub(crate) struct S3Session {
    base: OnceCell<SdkConfig>,
    /// What the foreign server says.
    server: DocumentOptions,
    external_id: Option<Secret>,
    /// How long connections and answers are waited for.
    timeouts: TimeoutConfig,
    /// By role; `None` is the server's own identity.
    identities: Mutex<HashMap<Option<String>, Arc<Identity>>>,
    clients: Mutex<HashMap<ClientKey, Client>>,
    regions: Mutex<HashMap<String, Region>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct ClientKey {
    role: Option<String>,
    region: Region,
    anonymous: bool,
}

impl S3Session {
    /// Finds its configuration in the environment of the process, at the first use.
    pub fn ambient(
        external_id: Option<Secret>,
        server: Option<&DocumentOptions>,
        timeouts: TimeoutConfig,
    ) -> S3Session {
        S3Session {
            base: OnceCell::new(),
            server: server.cloned().unwrap_or_default(),
            external_id,
            timeouts,
            identities: Mutex::default(),
            clients: Mutex::default(),
            regions: Mutex::default(),
        }
    }

    /// Uses this configuration.
    pub fn configured(
        base: SdkConfig,
        external_id: Option<Secret>,
        server: Option<&DocumentOptions>,
        timeouts: TimeoutConfig,
    ) -> S3Session {
        S3Session {
            base: OnceCell::new_with(Some(base)),
            ..S3Session::ambient(external_id, server, timeouts)
        }
    }

    /// Whether the one that asks pays for it.
    pub fn requester_pays(&self) -> bool {
        self.server.requester_pays
    }

    /// Makes a request about a bucket, as a role or as the server itself; once more where the
    /// bucket is in another region, and once more where a token ran out.
    ///
    /// # Errors
    ///
    /// That nobody can be asked; in the inner one, what S3 has said no to.
    pub async fn ask<T, E, F>(
        &self,
        bucket: &str,
        role: Option<&str>,
        request: impl Fn(Client) -> F,
    ) -> Result<Result<T, DeniedAccess<E>>, Error>
    where
        E: ProvideErrorMetadata,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let base = self.base.get_or_try_init(identity::ambient).await?;
        let role = role.or(self.server.role_arn.as_deref());
        let identity = self.identity(base, role);
        let (mut moved, mut renewed) = (false, false);
        loop {
            let credential = identity.credential().await?;
            let (region, elsewhere) = self.region(base, bucket);
            identity::check_region(&region).map_err(|error| *error)?;
            let key = ClientKey {
                role: role.map(str::to_owned),
                region: region.clone(),
                anonymous: matches!(credential, Credential::None),
            };
            let refusal = match request(self.client(base, &identity, key)).await {
                Ok(answer) => return Ok(Ok(answer)),
                Err(refusal) => refusal,
            };
            if !moved && let Some(found) = error::other_region(&refusal, &region) {
                moved = true;
                self.remember(bucket, found);
            } else if !renewed && error::is_expired(&refusal) {
                renewed = true;
                identity.forget(&credential).await;
            } else {
                return Ok(Err(DeniedAccess {
                    refusal,
                    elsewhere: elsewhere.then(|| region.to_string()),
                    caller: identity.caller(&credential),
                    credential,
                }));
            }
        }
    }

    fn identity(&self, base: &SdkConfig, role: Option<&str>) -> Arc<Identity> {
        let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        let own = identities
            .entry(None)
            .or_insert_with(|| Arc::new(Identity::own(base, self.server.anonymous)))
            .clone();
        let Some(arn) = role else {
            return own;
        };
        let assumed = identities.entry(Some(arn.to_owned()));
        assumed
            .or_insert_with(|| {
                let policy = session_policy(arn, self.server.allowed_urls.as_deref());
                let base = base.to_builder().timeout_config(self.timeouts.clone()).build();
                Arc::new(Identity::assumed(&base, own, arn, self.external_id.clone(), policy))
            })
            .clone()
    }

    fn client(&self, base: &SdkConfig, identity: &Arc<Identity>, key: ClientKey) -> Client {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients
            .entry(key.clone())
            .or_insert_with(|| self.make_client(base, identity, key))
            .clone()
    }

    /// Where to ask for objects of the bucket, and whether that is not where the configuration
    /// says.
    fn region(&self, base: &SdkConfig, bucket: &str) -> (Region, bool) {
        let regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        match regions.get(bucket) {
            Some(region) => (region.clone(), true),
            None => (
                self.server
                    .region
                    .clone()
                    .map(Region::new)
                    .or_else(|| base.region().cloned())
                    .unwrap_or_else(|| Region::from_static(DEFAULT_REGION)),
                false,
            ),
        }
    }

    fn remember(&self, bucket: &str, region: Region) {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        if regions.len() >= GREATEST_REGIONS {
            regions.clear();
        }
        regions.insert(bucket.to_owned(), region);
    }

    fn make_client(&self, base: &SdkConfig, identity: &Arc<Identity>, key: ClientKey) -> Client {
        let server = &self.server;
        let mut base = base.to_builder();
        // Taken away here and given back below: without one, the request of a public object goes
        // out unsigned.
        base.set_credentials_provider(None);
        let base = base.build();
        let config = Builder::from(&base)
            .region(key.region)
            .force_path_style(
                server
                    .path_style
                    .unwrap_or_else(|| server.endpoint.is_some() || has_own_endpoint(&base)),
            )
            // The queue retries, with a longer breath than a client in memory has.
            .retry_config(RetryConfig::disabled())
            .timeout_config(self.timeouts.clone())
            // The reader of a body watches for stalls, the same way for S3 and the web.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // `Identity` caches, and can be told that a token was refused.
            .identity_cache(IdentityCache::no_cache());
        let config = config.interceptor(headers::Legible);
        let config = match &server.endpoint {
            Some(endpoint) => config.endpoint_url(endpoint),
            None => config,
        };
        let config = if key.anonymous {
            config.allow_no_auth()
        } else {
            config.credentials_provider(SdkCredentials(identity.clone()))
        };
        Client::from_conf(config.build())
    }
}

/// Other S3 servers seldom have a host name per bucket, AWS always has.
fn has_own_endpoint(base: &SdkConfig) -> bool {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let for_s3 = || base.service_config()?.load_config(key.ok()?);
    base.endpoint_url().is_some() || for_s3().is_some()
}
