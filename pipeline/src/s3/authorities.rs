//! `AWS_CA_BUNDLE`: whom to trust where S3 or STS are not those of the public internet. The SDK for
//! Rust leaves that to its user.

use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};

use super::error::Error;
use crate::authorities;
use crate::error::Cause;

/// A client that trusts the authorities of the bundle and nobody else, as other SDKs of AWS do;
/// `None` where none is named.
///
/// # Errors
///
/// [`Error::Authorities`], or [`Error::Environment`] where those of the system are named by a
/// variable that leads nowhere.
pub(super) fn client() -> Result<Option<SharedHttpClient>, Box<Error>> {
    let path = std::env::var("AWS_CA_BUNDLE").unwrap_or_default();
    let path = path.trim();
    if path.is_empty() {
        if let Some((name, fault)) = authorities::fault(|name| std::env::var_os(name)) {
            let what = format!("{name} in the environment of the server");
            return Err(Error::Environment { what, fault }.into());
        }
        return Ok(None);
    }
    let unusable = |cause: Cause| Error::Authorities {
        path: path.to_owned(),
        cause,
    };
    let bundle = std::fs::read(path).map_err(|error| unusable(Cause::new(error)))?;
    // The client below panics at its first request where it cannot read them.
    let certificates = reqwest::Certificate::from_pem_bundle(&bundle).map_err(|error| unusable(Cause::new(error)))?;
    if certificates.is_empty() {
        return Err(unusable(Cause::said("it holds no certificate")).into());
    }
    let checked = reqwest::Client::builder().tls_certs_only(certificates).build();
    checked.map_err(|error| unusable(Cause::new(error)))?;
    let trusted = TrustStore::empty().with_pem_certificate(bundle);
    let context = TlsContext::builder().with_trust_store(trusted).build();
    let context = context.map_err(|error| unusable(Cause::new(error)))?;
    let builder = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
    Ok(Some(builder.tls_context(context).build_https()))
}
