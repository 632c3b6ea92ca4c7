//! S3 and STS that misbehave: what is sent to them, and what becomes of their answers.

mod load_server;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::load::{Document, Error, LoadSettings, Loaded, Loader, Tag};
use ai_pipeline::secret::Secret;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use futures_util::future::join_all;
use load_server::{Reply, Request, Server, answer};

const ROLE: &str = "arn:aws:iam::123456789012:role/reader";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG";

fn settings() -> LoadSettings {
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
struct Numbered(AtomicUsize);

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

fn aws(url: &str) -> aws_config::SdkConfig {
    let credentials = SharedCredentialsProvider::new(Numbered::default());
    without_credentials(url)
        .into_builder()
        .credentials_provider(credentials)
        .build()
}

fn without_credentials(url: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-north-1"))
        .endpoint_url(url)
        .build()
}

async fn load(loader: &Loader, role: Option<&str>) -> Result<Document, Error> {
    loader.load("s3://bucket/folder/a b.txt", role).await
}

fn refusal(status: &str, headers: &str, code: &str, more: &str) -> Reply {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>because</Message>{more}</Error>");
    answer(status, headers, &body)
}

fn is_sts(request: &Request) -> bool {
    request.method == "POST"
}

fn assumed() -> Reply {
    answer(
        "200 OK",
        "",
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>ASIAASSUMED</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>of-the-role</SessionToken>\
         <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
    )
}

/// What a user reads: reason and hint, without any secret.
fn shown(error: Error) -> (Class, String) {
    let failure = Failure::from(error);
    assert_eq!(failure.step, Step::Loading);
    let text = format!("{} / {}", failure.reason, failure.hint.unwrap_or_default());
    for secret in [SECRET, "token-", "AKIAIOSFODNN7", "tenant-7"] {
        assert!(!text.contains(secret), "{text}");
    }
    (failure.class, text)
}

#[tokio::test]
async fn a_role_is_assumed_once_with_the_external_id() {
    let server = Server::start(|request| {
        if is_sts(request) {
            assumed()
        } else {
            answer("200 OK", "", "hello")
        }
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    for document in join_all((0..20).map(|_| load(&loader, Some(ROLE)))).await {
        assert_eq!(document.unwrap().bytes, "hello");
    }
    let (sts, s3): (Vec<_>, Vec<_>) = server.requests().into_iter().partition(is_sts);
    assert_eq!((sts.len(), s3.len()), (1, 20));
    for part in [
        "Action=AssumeRole",
        "ExternalId=tenant-7",
        "RoleSessionName=pg-ai",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Freader",
    ] {
        assert!(sts[0].body.contains(part), "{part}: {}", sts[0].body);
    }
    assert!(sts[0].header("authorization").contains("Credential=AKIAIOSFODNN7WXYZ/"));
    for request in s3 {
        assert!(
            request.header("authorization").contains("Credential=ASIAASSUMED/"),
            "{request:?}"
        );
        assert_eq!(request.header("x-amz-security-token"), "of-the-role");
        assert_eq!(request.target.split('?').next(), Some("/bucket/folder/a%20b.txt"));
    }
}

#[tokio::test]
async fn another_role_is_another_identity() {
    let server = Server::start(|request| {
        if is_sts(request) {
            assumed()
        } else {
            answer("200 OK", "", "hello")
        }
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    for role in [
        Some(ROLE),
        Some("arn:aws:iam::123456789012:role/other"),
        None,
        Some(ROLE),
    ] {
        load(&loader, role).await.unwrap();
    }
    let (sts, s3): (Vec<_>, Vec<_>) = server.requests().into_iter().partition(is_sts);
    assert_eq!((sts.len(), s3.len()), (2, 4));
    assert!(s3[2].header("authorization").contains("Credential=AKIAIOSFODNN7WXYZ/"));
}

#[tokio::test]
async fn a_role_that_is_denied_stops_the_vectorizer_after_one_question() {
    let denied = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not authorized: token-0 for tenant-7</Message>\
                  </Error></ErrorResponse>";
    let server = Server::start(move |_| answer("403 Forbidden", "", denied)).await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    for result in join_all((0..20).map(|_| load(&loader, Some(ROLE)))).await {
        let (class, text) = shown(result.unwrap_err());
        assert_eq!(class, Class::Configuration);
        assert!(
            text.contains(ROLE) && text.contains("trust policy") && text.contains("access key ...WXYZ"),
            "{text}"
        );
    }
    assert_eq!(server.requests().len(), 1, "no request without the role");
}

#[tokio::test]
async fn a_server_that_repeats_secrets_is_not_repeated() {
    let body = format!("<Error><Code>AccessDenied</Code><Message>not with {SECRET} (token-0), sorry</Message></Error>");
    let server = Server::start(move |_| answer("403 Forbidden", "", &body)).await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let (_, text) = shown(load(&loader, None).await.unwrap_err());
    assert!(text.contains("not with *** *** sorry"), "{text}");
}

#[tokio::test]
async fn a_role_without_credentials_is_never_anonymous() {
    let server = Server::start(|_| answer("200 OK", "", "hello")).await;
    let loader = Loader::with_aws(settings(), without_credentials(&server.url));
    let (class, text) = shown(load(&loader, Some(ROLE)).await.unwrap_err());
    assert_eq!(class, Class::Configuration);
    assert!(
        text.contains("no AWS credentials were found") && text.contains("AWS_ACCESS_KEY_ID"),
        "{text}"
    );
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_public_object_needs_no_credentials() {
    let server = Server::start(|_| answer("200 OK", "ETag: \"1\"\r\nContent-Type: text/plain\r\n", "hello")).await;
    let loader = Loader::with_aws(settings(), without_credentials(&server.url));
    let document = load(&loader, None).await.unwrap();
    assert_eq!(document.bytes, "hello");
    assert_eq!(document.name.as_deref(), Some("a b.txt"));
    assert_eq!(document.media_type.as_deref(), Some("text/plain"));
    assert_eq!(document.tag.as_ref().map(Tag::as_str), Some("\"1\""));
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("authorization"), "");
    assert_eq!(requests[0].header("if-none-match"), "");
}

#[tokio::test]
async fn a_private_object_without_credentials_says_where_they_were_looked_for() {
    let server = Server::start(|_| refusal("403 Forbidden", "", "AccessDenied", "")).await;
    let loader = Loader::with_aws(settings(), without_credentials(&server.url));
    let (class, text) = shown(load(&loader, None).await.unwrap_err());
    assert_eq!(class, Class::Permanent);
    for part in [
        "An error occurred (AccessDenied)",
        "no AWS credentials were found",
        "AWS_ACCESS_KEY_ID",
        "~/.aws",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn a_private_object_says_which_right_is_missing() {
    let server = Server::start(|_| refusal("403 Forbidden", "", "AccessDenied", "")).await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let (class, text) = shown(load(&loader, None).await.unwrap_err());
    assert_eq!(class, Class::Permanent);
    assert!(
        text.contains("s3:GetObject on arn:aws:s3:::bucket/folder/a b.txt"),
        "{text}"
    );
    assert!(text.contains("access key ...WXYZ"), "{text}");
}

fn signed_for(request: &Request, region: &str) -> bool {
    request
        .header("authorization")
        .contains(&format!("/{region}/s3/aws4_request"))
}

#[tokio::test]
async fn a_bucket_in_another_region_is_followed_once_and_remembered() {
    let in_header = || {
        refusal(
            "301 Moved Permanently",
            "x-amz-bucket-region: ap-south-1\r\n",
            "PermanentRedirect",
            "",
        )
    };
    let in_body = || {
        refusal(
            "400 Bad Request",
            "",
            "AuthorizationHeaderMalformed",
            "<Region>ap-south-1</Region>",
        )
    };
    for redirect in [in_header as fn() -> Reply, in_body] {
        let server = Server::start(move |request| {
            if signed_for(request, "ap-south-1") {
                answer("200 OK", "", "hello")
            } else {
                redirect()
            }
        })
        .await;
        let loader = Loader::with_aws(settings(), aws(&server.url));
        assert_eq!(load(&loader, None).await.unwrap().bytes, "hello");
        assert_eq!(load(&loader, None).await.unwrap().bytes, "hello");
        let requests = server.requests();
        assert_eq!(requests.len(), 3, "{requests:?}");
        assert!(signed_for(&requests[0], "eu-north-1"));
    }
}

#[tokio::test]
async fn a_bucket_that_is_always_elsewhere_is_followed_once() {
    let server = Server::start(|request| {
        let next = if signed_for(request, "ap-south-1") {
            "ap-south-2"
        } else {
            "ap-south-1"
        };
        refusal(
            "301 Moved Permanently",
            &format!("x-amz-bucket-region: {next}\r\n"),
            "PermanentRedirect",
            "",
        )
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let (_, text) = shown(load(&loader, None).await.unwrap_err());
    assert!(text.contains("AWS_REGION"), "{text}");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_region_where_the_account_is_not_enabled_is_the_fault_of_the_row() {
    let server = Server::start(|request| {
        if signed_for(request, "af-south-1") {
            refusal("403 Forbidden", "", "InvalidToken", "")
        } else {
            refusal(
                "301 Moved Permanently",
                "x-amz-bucket-region: af-south-1\r\n",
                "PermanentRedirect",
                "",
            )
        }
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let (class, text) = shown(load(&loader, None).await.unwrap_err());
    assert_eq!(class, Class::Permanent);
    assert!(text.contains("region af-south-1 is enabled"), "{text}");
}

#[tokio::test]
async fn an_odd_bucket_name_concerns_its_own_row_alone() {
    let server = Server::start(|_| refusal("404 Not Found", "", "NoSuchBucket", "")).await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    for bucket in [
        "abc--x-s3",
        "abc--use1-az4--x-s3",
        "abc--op-s3",
        "xn--abc",
        "1.2.3.4",
        "a..b",
        "Old_Bucket",
    ] {
        let (class, text) = shown(loader.load(&format!("s3://{bucket}/k"), None).await.unwrap_err());
        assert_ne!(class, Class::Configuration, "{text}");
        assert!(text.contains(bucket), "{text}");
    }
}

#[tokio::test]
async fn an_expired_token_is_replaced_once() {
    let server = Server::start(|request| {
        if request.header("x-amz-security-token") == "token-1" {
            answer("200 OK", "", "hello")
        } else {
            refusal("400 Bad Request", "", "ExpiredToken", "")
        }
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    for document in join_all((0..20).map(|_| load(&loader, None))).await {
        assert_eq!(document.unwrap().bytes, "hello");
    }
}

#[tokio::test]
async fn a_token_that_stays_expired_is_an_error_of_the_configuration() {
    let server = Server::start(|_| refusal("400 Bad Request", "", "ExpiredToken", "")).await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let (class, text) = shown(load(&loader, None).await.unwrap_err());
    assert_eq!(class, Class::Configuration);
    assert!(text.contains("AWS_SESSION_TOKEN"), "{text}");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn refusals_have_the_class_that_fits() {
    let wait = Class::Throttled {
        retry_after: Some(Duration::from_secs(7)),
    };
    let cases = [
        ("503 Slow Down", "Retry-After: 7\r\n", "SlowDown", wait),
        ("429 Too Many Requests", "", "", Class::Throttled { retry_after: None }),
        ("503 Service Unavailable", "", "ServiceUnavailable", Class::Transient),
        ("500 Internal Server Error", "", "InternalError", Class::Transient),
        ("502 Bad Gateway", "", "", Class::Transient),
        ("400 Bad Request", "", "RequestTimeout", Class::Transient),
        ("403 Forbidden", "", "InvalidAccessKeyId", Class::Configuration),
        ("403 Forbidden", "", "SignatureDoesNotMatch", Class::Configuration),
        ("403 Forbidden", "", "RequestTimeTooSkewed", Class::Configuration),
        ("403 Forbidden", "", "InvalidObjectState", Class::Permanent),
        ("404 Not Found", "", "NoSuchKey", Class::Permanent),
        ("404 Not Found", "", "NoSuchBucket", Class::Permanent),
        ("404 Not Found", "", "", Class::Permanent),
        ("400 Bad Request", "", "SomethingNew", Class::Unknown),
    ];
    for (status, headers, code, class) in cases {
        let server = Server::start(move |_| match code {
            "" => answer(status, headers, "<html>not S3 at all</html>"),
            code => refusal(status, headers, code, ""),
        })
        .await;
        let loader = Loader::with_aws(settings(), aws(&server.url));
        let (found, text) = shown(load(&loader, None).await.unwrap_err());
        assert_eq!(found, class, "{status} {code}: {text}");
        let named = if code.is_empty() { &status[..3] } else { code };
        assert!(
            text.contains(&format!("error: An error occurred ({named}) when calling")),
            "{text}"
        );
        assert_eq!(server.requests().len(), 1, "retries are the queue's: {status} {code}");
    }
}

#[tokio::test]
async fn a_body_that_stalls_ends_with_the_time_of_the_document() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    let server = Server::start(|_| Reply::Stall(head.into())).await;
    let patience = LoadSettings {
        timeout: Duration::from_millis(700),
        ..settings()
    };
    let error = load(&Loader::with_aws(patience, aws(&server.url)), None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert_eq!(error.class(), Class::Transient);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_document() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    let server = Server::start(|_| Reply::Close(head.into())).await;
    let error = load(&Loader::with_aws(settings(), aws(&server.url)), None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    assert_eq!(error.class(), Class::Transient);
}

#[tokio::test]
async fn the_cap_holds_whatever_length_is_announced() {
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n{}", "x".repeat(1001));
    let unannounced = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "x".repeat(1001));
    for response in [announced, unannounced] {
        let server = Server::start(move |_| Reply::Close(response.clone().into_bytes())).await;
        let error = load(&Loader::with_aws(settings(), aws(&server.url)), None)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 1000, .. }), "{error}");
        assert_eq!(error.class(), Class::Permanent);
    }
    let exact = answer("200 OK", "", &"x".repeat(1000));
    let Reply::Close(exact) = exact else { unreachable!() };
    let server = Server::start(move |_| Reply::Close(exact.clone())).await;
    assert_eq!(
        load(&Loader::with_aws(settings(), aws(&server.url)), None)
            .await
            .unwrap()
            .bytes
            .len(),
        1000
    );
}

#[tokio::test]
async fn a_server_that_is_down_may_come_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let loader = Loader::with_aws(settings(), aws(&url));
    for role in [None, Some(ROLE)] {
        let (class, text) = shown(load(&loader, role).await.unwrap_err());
        assert_eq!(class, Class::Transient);
        assert!(
            text.contains("cannot be reached") && text.contains("AWS_ENDPOINT_URL"),
            "{text}"
        );
    }
}

/// Runs [`as_a_process`] in a process of its own with this environment, beside an empty home.
async fn in_environment(variables: &[(&str, &str)]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "as_a_process", "--nocapture"]).env_clear();
    command
        .env("LOAD_IN_THIS_PROCESS", "1")
        .env("HOME", home.path())
        .envs(variables.iter().copied());
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The child of [`in_environment`]; by itself it has nothing to do.
#[tokio::test]
async fn as_a_process() {
    if std::env::var_os("LOAD_IN_THIS_PROCESS").is_some() {
        match load(&Loader::new(settings()), None).await {
            Ok(document) => println!("loaded {}", String::from_utf8_lossy(&document.bytes)),
            Err(error) => println!("{error}"),
        }
    }
}

#[tokio::test]
async fn the_environment_gives_keys_region_and_endpoint() {
    for endpoint in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
        let server = Server::start(|_| answer("200 OK", "", "hello")).await;
        let variables = [
            (endpoint, server.url.as_str()),
            ("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "sa-east-1"),
        ];
        let said = in_environment(&variables).await;
        assert!(said.contains("loaded hello"), "{said}");
        let request = &server.requests()[0];
        assert!(
            request.header("authorization").contains("Credential=AKIAENVIRONMENT/"),
            "{request:?}"
        );
        assert!(signed_for(request, "sa-east-1"), "{request:?}");
        assert!(request.target.starts_with("/bucket/folder/"), "path style: {request:?}");
    }
}

#[tokio::test]
async fn an_environment_without_credentials_does_not_hang_on_the_metadata_service() {
    let server = Server::start(|_| answer("200 OK", "", "hello")).await;
    let silent = Server::start(|_| Reply::Stall(Vec::new())).await;
    let metadata = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", silent.url.as_str());
    let said = in_environment(&[("AWS_ENDPOINT_URL", &server.url), metadata]).await;
    assert!(said.contains("loaded hello"), "{said}");
    assert!(!silent.requests().is_empty(), "it was asked");
    let request = &server.requests()[0];
    assert_eq!(request.header("authorization"), "", "{request:?}");
}

#[tokio::test]
async fn a_source_of_credentials_that_fails_is_not_taken_for_none() {
    #[derive(Debug)]
    struct Broken;
    impl ProvideCredentials for Broken {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            use aws_credential_types::provider::error::CredentialsError;
            future::ProvideCredentials::ready(Err(CredentialsError::provider_error("the metadata service is tired")))
        }
    }
    let server = Server::start(|_| answer("200 OK", "", "hello")).await;
    let provider = SharedCredentialsProvider::new(Broken);
    let aws = without_credentials(&server.url)
        .into_builder()
        .credentials_provider(provider)
        .build();
    let (class, text) = shown(load(&Loader::with_aws(settings(), aws), None).await.unwrap_err());
    assert_eq!(class, Class::Transient);
    assert!(text.contains("the metadata service is tired"), "{text}");
    assert!(server.requests().is_empty());
}

const LOADED: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

/// A server with an object of this tag; one that `listens` answers 304 where it can.
async fn with_tag(etag: &'static str, modified: &'static str, listens: bool) -> (Server, Loader) {
    let server = Server::start(move |request| {
        let headers = format!("ETag: {etag}\r\nLast-Modified: {modified}\r\n");
        if listens && request.header("if-none-match") == etag {
            return Reply::Close(
                format!("HTTP/1.1 304 Not Modified\r\n{headers}Connection: close\r\n\r\n").into_bytes(),
            );
        }
        answer("200 OK", &headers, "hello")
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    (server, loader)
}

async fn load_again(loader: &Loader, tag: Option<&Tag>) -> Option<Document> {
    let loaded = loader.load_if_changed("s3://bucket/a b.txt", None, tag, u64::MAX).await;
    match loaded.unwrap() {
        Loaded::Unchanged => None,
        Loaded::Document(document) => Some(document),
        Loaded::Larger { .. } => panic!("nothing is larger than there is room for"),
    }
}

#[tokio::test]
async fn the_tag_of_an_object_is_its_entity_tag_and_its_second() {
    let (server, loader) = with_tag("\"abc-2\"", LOADED, true).await;
    let tag = load_again(&loader, None).await.unwrap().tag.unwrap();
    assert_eq!(tag.as_str(), "\"abc-2\" 1445412480");
    let tag = Tag::remembered(tag.as_str().to_owned());
    assert!(load_again(&loader, Some(&tag)).await.is_none());
    let sent: Vec<_> = server.requests();
    assert_eq!(sent[1].header("if-none-match"), "\"abc-2\"");
    assert!(sent[1].header("authorization").contains("if-none-match"), "signed");
}

/// The same bytes with another media type have the same tag, and may be read otherwise.
#[tokio::test]
async fn an_object_that_was_stored_anew_is_downloaded() {
    let (server, loader) = with_tag("\"abc\"", LOADED, true).await;
    let before = Tag::remembered("\"abc\" 1445412479".to_owned());
    let document = load_again(&loader, Some(&before)).await.unwrap();
    assert_eq!(document.tag.unwrap().as_str(), "\"abc\" 1445412480");
    assert_eq!(server.requests().len(), 2, "with the condition, and without");
    // Where one of the two was not told the time, the entity tag is what there is.
    let timeless = Tag::remembered("\"abc\"".to_owned());
    assert!(load_again(&loader, Some(&timeless)).await.is_none());
    let (_server, loader) = with_tag("\"abc\"", "soon", true).await;
    assert!(load_again(&loader, Some(&before)).await.is_none());
}

#[tokio::test]
async fn a_tag_that_proves_nothing_is_not_sent() {
    for etag in ["W/\"abc\"", "*", "abc", "\"a\"b\"", "\"a\", \"b\""] {
        let (server, loader) = with_tag(etag, LOADED, true).await;
        assert_eq!(load_again(&loader, None).await.unwrap().tag, None, "{etag}");
        let kept = Tag::remembered(etag.to_owned());
        assert!(load_again(&loader, Some(&kept)).await.is_some(), "{etag}");
        assert!(
            server
                .requests()
                .iter()
                .all(|request| request.header("if-none-match").is_empty())
        );
    }
}

#[tokio::test]
async fn a_server_that_ignores_the_condition_sends_the_object() {
    let (server, loader) = with_tag("\"abc\"", LOADED, false).await;
    let tag = load_again(&loader, None).await.unwrap().tag.unwrap();
    let document = load_again(&loader, Some(&tag)).await.unwrap();
    assert_eq!((&document.bytes[..], document.tag), (&b"hello"[..], Some(tag)));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn nobody_has_asked_for_a_304() {
    let server =
        Server::start(|_| Reply::Close(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_vec())).await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let error = load(&loader, None).await.unwrap_err();
    assert_eq!(error.class(), Class::Unknown, "{error}");
}

/// Only where an administrator has said so: it costs.
#[tokio::test]
async fn the_requester_pays_where_the_server_says_so() {
    let server = Server::start(|request| match request.header("x-amz-request-payer") {
        "requester" => answer("200 OK", "", "hello"),
        _ => refusal("403 Forbidden", "", "AccessDenied", ""),
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let (class, text) = shown(load(&loader, None).await.unwrap_err());
    assert_eq!(class, Class::Permanent);
    assert!(text.contains("request_payer 'requester'"), "{text}");
    let option = ("request_payer".to_owned(), "requester".to_owned());
    let source = ai_pipeline::server::DocumentOptions::read(&[option]).unwrap();
    let servers = ai_pipeline::load::DocumentServers {
        s3: ai_pipeline::load::Permission::Open(source),
        ..Default::default()
    };
    let paying = Loader::with_aws(LoadSettings { servers, ..settings() }, aws(&server.url));
    assert_eq!(load(&paying, None).await.unwrap().bytes, "hello");
}

/// "hello hello hello", as gzip writes it.
const GZIP: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x90\x00\x80\x88\xf9\xe5\x11\x00\x00\x00";

fn encoded(headers: &str, body: &[u8]) -> Reply {
    let head = format!(
        "HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    Reply::Close([head.as_bytes(), body].concat())
}

#[tokio::test]
async fn the_encoding_of_an_object_is_undone() {
    let server = Server::start(|request| {
        if request.header("if-none-match") == "\"7\"" {
            return answer("304 Not Modified", "", "");
        }
        encoded(
            "Content-Encoding: gzip\r\nContent-Type: text/plain\r\nETag: \"7\"\r\n",
            GZIP,
        )
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let document = load(&loader, None).await.unwrap();
    assert_eq!(document.bytes, "hello hello hello");
    // The tag is that of what was sent.
    let again = loader
        .load_if_changed("s3://bucket/folder/a b.txt", None, document.tag.as_ref(), 1000)
        .await
        .unwrap();
    assert!(matches!(again, Loaded::Unchanged), "{again:?}");
    // It has more bytes than were announced.
    let small = loader
        .load_if_changed("s3://bucket/folder/a b.txt", None, None, 16)
        .await;
    assert!(matches!(small.unwrap(), Loaded::Larger { .. }));
    let tiny = LoadSettings {
        max_document_bytes: 16,
        ..settings()
    };
    let error = load(&Loader::with_aws(tiny, aws(&server.url)), None).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 16, .. }), "{error}");
}

/// Metadata of users is in whatever charset they had; nothing of it is read.
#[tokio::test]
async fn headers_in_latin_1_are_no_obstacle() {
    for header in [
        &b"x-amz-meta-author: Andr\xE9\r\n"[..],
        b"x-amz-meta-author: Andr\xE9\r\nx-amz-meta-author: Zo\xEB\r\n",
        b"Content-Type: text/plain; name=\"caf\xE9.txt\"\r\n",
        b"Content-Disposition: attachment; filename=\"caf\xE9.txt\"\r\n",
        b"ETag: \"caf\xE9\"\r\n",
        b"x-amz-tagging-count: \xE9\r\n",
        b"Server: caf\xE9\r\n",
    ] {
        let server = Server::start(move |_| {
            let parts: [&[u8]; 3] = [
                b"HTTP/1.1 200 OK\r\n",
                header,
                b"Content-Length: 5\r\nConnection: close\r\n\r\nhello",
            ];
            Reply::Close(parts.concat())
        })
        .await;
        let loader = Loader::with_aws(settings(), aws(&server.url));
        let name = String::from_utf8_lossy(header);
        assert_eq!(load(&loader, None).await.expect(&name).bytes, "hello", "{name}");
    }
}
