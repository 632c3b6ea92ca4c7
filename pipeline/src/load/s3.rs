//! Objects of S3, and of whatever speaks its protocol.

mod authorities;
mod error;
mod headers;
mod identity;
mod variables;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::{Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, IdentityCache, StalledStreamProtectionConfig};
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::RequestPayer;
use aws_types::service_config::ServiceConfigKey;
use tokio::sync::OnceCell;

pub use self::error::{Caller, Error};
use self::identity::{Credential, Identity, Provider};
use super::{CONNECT_TIMEOUT, Document, Loaded, STALL_TIMEOUT, Tag, collect, encoding};
use crate::secret::Secret;
use crate::server::{Source, session_policy};

/// Buckets whose region is remembered; a table that names more of them costs one more request each, not memory.
const GREATEST_REGIONS: usize = 10_000;

/// The region of a request when nothing names one: S3's own default.
const DEFAULT_REGION: &str = "us-east-1";

/// Fetches objects. Keeps credentials per role, a client per role and region, and the regions of buckets that
/// turned out to be elsewhere.
pub(super) struct Loader {
    base: OnceCell<SdkConfig>,
    /// What the foreign server says.
    server: Source,
    external_id: Option<Secret>,
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

/// One object, as a row names it.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) version_id: Option<&'a str>,
}

type Refusal = SdkError<GetObjectError>;

impl Loader {
    /// Finds its configuration in the environment of the process, at the first use.
    pub(super) fn ambient(external_id: Option<Secret>, server: Option<&Source>) -> Loader {
        Loader {
            base: OnceCell::new(),
            server: server.cloned().unwrap_or_default(),
            external_id,
            identities: Mutex::default(),
            clients: Mutex::default(),
            regions: Mutex::default(),
        }
    }

    /// Uses this configuration.
    pub(super) fn configured(base: SdkConfig, external_id: Option<Secret>, server: Option<&Source>) -> Loader {
        Loader {
            base: OnceCell::new_with(Some(base)),
            ..Loader::ambient(external_id, server)
        }
    }

    /// One object of at most `limit` bytes, if it is not the one that `known` is the tag of. Messages call it
    /// `location`.
    pub(super) async fn load(
        &self,
        object: Object<'_>,
        role: Option<&str>,
        known: Option<&Tag>,
        limit: u64,
        location: &str,
    ) -> Result<Loaded, super::Error> {
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

    /// Asks for the object; once more where the bucket is in another region, and once more where a token ran
    /// out. `None` when it is the known one.
    async fn get(
        &self,
        object: Object<'_>,
        role: Option<&str>,
        mut known: Option<&Tag>,
    ) -> Result<Option<GetObjectOutput>, Error> {
        let base = self.base.get_or_try_init(identity::ambient).await?;
        let role = role.or(self.server.role_arn.as_deref());
        let identity = self.identity(base, role);
        let (mut moved, mut renewed) = (false, false);
        loop {
            let credential = identity.credential().await?;
            let (region, elsewhere) = self.region(base, object.bucket);
            identity::check_region(&region).map_err(|error| *error)?;
            let key = ClientKey {
                role: role.map(str::to_owned),
                region: region.clone(),
                anonymous: matches!(credential, Credential::None),
            };
            let client = self.client(base, &identity, key);
            let request = client.get_object().bucket(object.bucket).key(object.key);
            let etag = known.and_then(Tag::etag);
            let refusal = match request
                .set_version_id(object.version_id.map(str::to_owned))
                .set_if_none_match(etag.map(str::to_owned))
                .set_request_payer(self.server.requester_pays.then_some(RequestPayer::Requester))
                .send()
                .await
            {
                Ok(output) => return Ok(Some(output)),
                Err(refusal) => refusal,
            };
            if let (Some(tag), Some(answer)) = (known, error::not_modified(&refusal)) {
                if answer.is_of(tag) {
                    return Ok(None);
                }
                known = None;
                continue;
            }
            if !moved && let Some(found) = error::other_region(&refusal, &region) {
                moved = true;
                self.remember(object.bucket, found);
            } else if !renewed && error::is_expired(&refusal) {
                renewed = true;
                identity.forget(&credential).await;
            } else {
                let elsewhere = elsewhere.then(|| region.to_string());
                return Err(error::of_object(
                    object,
                    refusal,
                    elsewhere,
                    identity.caller(&credential),
                    &credential.secrets(),
                ));
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
                Arc::new(Identity::assumed(base, own, arn, self.external_id.clone(), policy))
            })
            .clone()
    }

    fn client(&self, base: &SdkConfig, identity: &Arc<Identity>, key: ClientKey) -> Client {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients
            .entry(key.clone())
            .or_insert_with(|| make_client(base, identity, key, &self.server))
            .clone()
    }

    /// Where to ask for objects of the bucket, and whether that is not where the configuration says.
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
}

fn make_client(base: &SdkConfig, identity: &Arc<Identity>, key: ClientKey, server: &Source) -> Client {
    let mut base = base.to_builder();
    // Taken away here and given back below: without one, the request of a public object goes out unsigned.
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
        .timeout_config(timeouts())
        // `collect` watches for stalls, the same way for S3 and the web.
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
        config.credentials_provider(Provider(identity.clone()))
    };
    Client::from_conf(config.build())
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

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(STALL_TIMEOUT)
        .build()
}
