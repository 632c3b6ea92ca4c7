//! S3 and STS by a server that speaks their protocols: moto. `make test` says where it is.

use std::process::Stdio;
use std::time::Duration;

use ai_pipeline::error::Class;
use ai_pipeline::load::{Error, LoadSettings, Loaded, Loader};
use ai_pipeline::secret::Secret;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const BUCKET: &str = "documents";

struct Moto {
    aws: SdkConfig,
    _process: Child,
}

#[derive(Debug)]
struct Fixed;

impl ProvideCredentials for Fixed {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Ok(Credentials::new("AKIAIOSFODNN7WXYZ", "secret", None, None, "test")))
    }
}

impl Moto {
    /// A server with an empty bucket; `None` where the machine has no moto.
    async fn start() -> Option<Moto> {
        let Some(program) = std::env::var_os("MOTO_SERVER") else {
            println!("skipped: MOTO_SERVER is not set; make test sets it");
            return None;
        };
        let mut command = Command::new(program);
        command
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command.spawn().expect("MOTO_SERVER names a program that can be run");
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        // Starting Python takes a second, on a busy machine many.
        let url = tokio::time::timeout(Duration::from_secs(120), async {
            loop {
                let line = log.next_line().await.unwrap().expect("moto runs");
                if let Some((_, url)) = line.split_once("Running on ") {
                    return url.trim().to_owned();
                }
            }
        })
        .await
        .expect("moto says within two minutes where it listens");
        // Read on, so that moto never waits for room in the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        let aws = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(url)
            .credentials_provider(SharedCredentialsProvider::new(Fixed))
            .build();
        let moto = Moto { aws, _process: process };
        moto.client().create_bucket().bucket(BUCKET).send().await.unwrap();
        Some(moto)
    }

    fn client(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.aws).force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// Stores an object and returns its version, where the bucket keeps versions.
    async fn put(&self, key: &str, text: &str) -> Option<String> {
        let body = text.as_bytes().to_vec().into();
        let put = self
            .client()
            .put_object()
            .bucket(BUCKET)
            .key(key)
            .content_type("text/markdown")
            .body(body);
        put.send().await.unwrap().version_id
    }

    fn loader(&self) -> Loader {
        Loader::with_aws(settings(), self.aws.clone())
    }
}

fn settings() -> LoadSettings {
    LoadSettings {
        max_document_bytes: 1000,
        timeout: Duration::from_secs(60),
        http_enabled: false,
        allow_private: false,
        file_directories: vec![],
        external_id: Some(Secret::new("tenant-7".to_owned())),
        servers: ai_pipeline::load::DocumentServers::default(),
    }
}

#[tokio::test]
async fn every_key_is_found_as_it_was_stored() {
    let Some(moto) = Moto::start().await else { return };
    let keys = [
        "plain.md",
        "two words/and more.md",
        "früh/日本語/🙂.md",
        "a+b.md",
        "50%.md",
        "50%25.md",
        "a%2Fb.md",
        "a#b.md",
        "what?.md",
        "a?b=c&d.md",
        "it's \"quoted\" & <marked>.md",
        "semi;colon:at@equals=$.md",
        "double//slash.md",
        "/leading.md",
    ];
    let loader = moto.loader();
    for key in keys {
        moto.put(key, &format!("text of {key}")).await;
    }
    for key in keys {
        for scheme in ["s3", "s3a"] {
            let document = loader.load(&format!("{scheme}://{BUCKET}/{key}"), None).await.unwrap();
            assert_eq!(document.bytes, format!("text of {key}"), "{key}");
            assert_eq!(document.name.as_deref(), key.rsplit('/').next());
            assert_eq!(document.media_type.as_deref(), Some("text/markdown"));
            assert!(document.tag.is_some());
        }
    }
}

#[tokio::test]
async fn a_version_is_loaded_by_its_id() {
    let Some(moto) = Moto::start().await else { return };
    let on = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    moto.client()
        .put_bucket_versioning()
        .bucket(BUCKET)
        .versioning_configuration(on)
        .send()
        .await
        .unwrap();
    let first = moto.put("a.md", "first").await.unwrap();
    let second = moto.put("a.md", "second").await.unwrap();
    let loader = moto.loader();
    for (version, text) in [(&first, "first"), (&second, "second")] {
        let uri = format!("s3://{BUCKET}/a.md?versionId={version}");
        assert_eq!(loader.load(&uri, None).await.unwrap().bytes, text);
    }
    assert_eq!(
        loader.load(&format!("s3://{BUCKET}/a.md"), None).await.unwrap().bytes,
        "second"
    );
    let error = loader
        .load(&format!("s3://{BUCKET}/a.md?versionId=none-such"), None)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Permanent, "{error}");
    assert!(error.to_string().contains("version: none-such error:"), "{error}");
}

#[tokio::test]
async fn what_is_not_there_is_a_permanent_failure_in_pgai_words() {
    let Some(moto) = Moto::start().await else { return };
    let loader = moto.loader();
    let error = loader.load("s3://documents/none.md", None).await.unwrap_err();
    assert_eq!(error.class(), Class::Permanent);
    let expected = "unable to access bucket: 'documents' key: 'none.md' version: None error: An error occurred (NoSuchKey) \
                    when calling the GetObject operation: The specified key does not exist.";
    assert!(error.to_string().starts_with(expected), "{error}");
    let error = loader.load("s3://no-such-bucket/none.md", None).await.unwrap_err();
    assert_eq!(error.class(), Class::Permanent);
    assert!(
        error.to_string().contains("error: An error occurred (NoSuchBucket)"),
        "{error}"
    );
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_document_above_the_cap_is_refused() {
    let Some(moto) = Moto::start().await else { return };
    moto.put("fits.md", &"x".repeat(1000)).await;
    moto.put("large.md", &"x".repeat(1001)).await;
    let loader = moto.loader();
    assert_eq!(
        loader.load("s3://documents/fits.md", None).await.unwrap().bytes.len(),
        1000
    );
    let error = loader.load("s3://documents/large.md", None).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                size: Some(1001),
                limit: 1000,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_role_is_assumed_and_an_empty_object_is_a_document() {
    let Some(moto) = Moto::start().await else { return };
    moto.put("empty.md", "").await;
    let role = "arn:aws:iam::123456789012:role/reader";
    let document = moto.loader().load("s3://documents/empty.md", Some(role)).await.unwrap();
    assert!(document.bytes.is_empty());
}

#[tokio::test]
async fn an_object_that_has_not_changed_is_not_downloaded_again() {
    let Some(moto) = Moto::start().await else { return };
    let (loader, uri) = (moto.loader(), format!("s3://{BUCKET}/a.md"));
    moto.put("a.md", "first").await;
    let first = loader.load(&uri, None).await.unwrap();
    let tag = first.tag.expect("S3 sends a strong entity tag");
    let again = loader.load_if_changed(&uri, None, Some(&tag), u64::MAX).await.unwrap();
    assert!(matches!(again, Loaded::Unchanged), "{again:?}");
    // The credentials of a role find the same.
    let role = Some("arn:aws:iam::123456789012:role/reader");
    let again = loader.load_if_changed(&uri, role, Some(&tag), u64::MAX).await.unwrap();
    assert!(matches!(again, Loaded::Unchanged), "{again:?}");
    moto.put("a.md", "second").await;
    let Loaded::Document(second) = loader.load_if_changed(&uri, None, Some(&tag), u64::MAX).await.unwrap() else {
        panic!("the object has changed");
    };
    assert_eq!(second.bytes, "second");
    assert_ne!(second.tag, Some(tag.clone()));
    moto.client()
        .delete_object()
        .bucket(BUCKET)
        .key("a.md")
        .send()
        .await
        .unwrap();
    let error = loader
        .load_if_changed(&uri, None, Some(&tag), u64::MAX)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Permanent, "{error}");
}
