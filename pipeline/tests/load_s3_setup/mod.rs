//! An S3 and an STS that answer as a test says, and a loader that asks them.
// Each file of tests uses a part of it.
#![allow(dead_code)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::load::{Document, Error, LoadSettings, Loader};
use ai_pipeline::secret::Secret;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

use crate::load_server::{Reply, Request, answer};

pub const ROLE: &str = "arn:aws:iam::123456789012:role/reader";
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG";

pub fn settings() -> LoadSettings {
    LoadSettings {
        max_document_bytes: 1000,
        // Long enough for a busy machine; tests that wait for its end set their own.
        timeout: Duration::from_secs(60),
        http_enabled: false,
        allow_private: false,
        file_directories: vec![],
        external_id: Some(Secret::new("tenant-7".to_owned())),
        servers: ai_pipeline::load::DocumentServers::default(),
    }
}

/// Credentials that differ at each look-up, by their session token.
#[derive(Debug, Default)]
pub struct Numbered(AtomicUsize);

impl ProvideCredentials for Numbered {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let token = format!("token-{}", self.0.fetch_add(1, Ordering::SeqCst));
        future::ProvideCredentials::ready(Ok(Credentials::new(
            "AKIAIOSFODNN7WXYZ",
            SECRET,
            Some(token),
            None,
            "test",
        )))
    }
}

pub fn aws(url: &str) -> aws_config::SdkConfig {
    let credentials = SharedCredentialsProvider::new(Numbered::default());
    without_credentials(url)
        .into_builder()
        .credentials_provider(credentials)
        .build()
}

pub fn without_credentials(url: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-north-1"))
        .endpoint_url(url)
        .build()
}

pub async fn load(loader: &Loader, role: Option<&str>) -> Result<Document, Error> {
    loader.load("s3://bucket/folder/a b.txt", role).await
}

pub fn refusal(status: &str, headers: &str, code: &str, more: &str) -> Reply {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>because</Message>{more}</Error>");
    answer(status, headers, &body)
}

pub fn is_sts(request: &Request) -> bool {
    request.method == "POST"
}

pub fn assumed() -> Reply {
    answer(
        "200 OK",
        "",
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>ASIAASSUMED</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>of-the-role</SessionToken>\
         <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
    )
}

/// What a user reads: reason and hint, without any secret.
pub fn shown(error: Error) -> (Class, String) {
    let failure = Failure::from(error);
    assert_eq!(failure.step, Step::Loading);
    let text = format!("{} / {}", failure.reason, failure.hint.unwrap_or_default());
    for secret in [SECRET, "token-", "AKIAIOSFODNN7", "tenant-7"] {
        assert!(!text.contains(secret), "{text}");
    }
    (failure.class, text)
}

pub fn signed_for(request: &Request, region: &str) -> bool {
    request
        .header("authorization")
        .contains(&format!("/{region}/s3/aws4_request"))
}
